"""`phasemix evaluate`: whole evaluations by real models, kept task by task, interrupted and compared."""

import gzip
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.command_line import main
from mixer import Runs
from mixer.runs.evaluations import read_evaluations
from streamer import Catalog

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".evalplus" / "bin" / "python"
ENGINE = REPOSITORY / ".engine" / "bin" / "python"


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["evaluate", *map(str, words), "--evalplus", str(PYTHON)])
    return code, *capsys.readouterr()


def evaluate(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    code, out, err = run(capsys, *words, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def test_a_model_is_evaluated_by_transformers(
    capsys: pytest.CaptureFixture[str], benchmark: Path, solver: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    words = (solver, "--benchmarks", benchmark, "--results", results)
    (row,) = evaluate(capsys, *words)["benchmarks"]
    assert (row["tasks"], row["passed"], row["pass_at_1"], row["not_checked"]) == (4, 1, 25.0, 0)
    assert 0 < row["low"] < 25 < row["high"] < 100
    assert row["bits_per_byte"] > 0
    kept = lines_of(results / "HumanEvalPlus.jsonl")
    assert [line["task"] for line in kept] == [f"HumanEval/{number}" for number in range(4)]
    assert kept[0]["answer"].rstrip() == "    return number * 2"
    assert kept[0]["end"] == "ended"
    assert all(line["nats"] > 0 for line in kept)
    before = (results / "HumanEvalPlus.jsonl").read_bytes()
    code, out, err = run(capsys, *words, "--markdown")
    assert code == 0
    assert out.splitlines()[-1].endswith("| 25.0 | - | - | - |")
    assert "loading" not in err  # nothing is left to do
    assert (results / "HumanEvalPlus.jsonl").read_bytes() == before


def test_a_model_that_knows_nothing_needs_as_many_bits_as_the_vocabulary_has(solver: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    from training.evaluation.transformers_model import TransformersModel

    model, tokenizer = LlamaForCausalLM.from_pretrained(solver), AutoTokenizer.from_pretrained(solver)
    torch.nn.init.zeros_(model.lm_head.weight)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    prompt, continuation = "def twice(number):\n", "    return number * 2\n"
    found = TransformersModel(tmp_path).score(prompt, continuation)
    assert found is not None
    tokens = tokenizer(prompt + continuation).input_ids
    tail = next(count for count in range(1, len(tokens)) if tokenizer.decode(tokens[-count:]).endswith(continuation))
    assert found.nats == pytest.approx(tail * math.log(model.config.vocab_size))
    assert found.text_bytes == len(tokenizer.decode(tokens[-tail:]).encode())
    assert TransformersModel(tmp_path).score(prompt, continuation * 100) is None


def test_reference_solutions_pass_and_empty_answers_fail(
    capsys: pytest.CaptureFixture[str], benchmark: Path, code_root: Path
) -> None:
    words = ("--benchmarks", benchmark, "--root", code_root)
    assert evaluate(capsys, "--reference", *words)["benchmarks"][0]["pass_at_1"] == 100
    (empty,) = evaluate(capsys, "--empty", *words)["benchmarks"]
    assert (empty["pass_at_1"], empty["base"], empty["reference"]) == (0, 0, 100)
    code, out, _ = run(capsys, "--compare", "reference", "empty", "--root", code_root, "--json")
    assert code == 0
    assert json.loads(out) == [
        {"benchmark": "HumanEvalPlus", "tasks": 4, "both": 0, "only_first": 4, "only_second": 0, "neither": 0, "p": 0.125}
    ]


def test_figures_of_an_export_are_noted_once_beside_its_run(
    capsys: pytest.CaptureFixture[str], benchmark: Path, solver: Path, code_root: Path, tmp_path: Path
) -> None:
    Runs(code_root).create("first", mixture="code", seed=1, global_batch=4)
    model = tmp_path / "exported"
    model.mkdir()
    for path in solver.iterdir():
        (model / path.name).symlink_to(path)
    about = {"format": "export/1", "run": "first", "step": 30, "sha256": "ab" * 32, "mixture": "code@1", "tokenizer": None}
    (model / "phasemix.json").write_text(json.dumps(about))
    for _ in range(2):
        found = evaluate(capsys, model, "--benchmarks", benchmark, "--root", code_root)
    assert found["results"] == str(code_root / "answers" / "first-00000030")
    (noted,) = read_evaluations(Catalog(code_root), "first")
    assert (noted.step, noted.checkpoint, noted.weights) == (30, "ab" * 32, found["weights"])
    assert [(one.benchmark, one.tasks, one.passed) for one in noted.benchmarks] == [("HumanEvalPlus", 4, 1)]
    assert main(["runs", "verify", "--root", str(code_root)]) == 0
    code, out, _ = run(capsys, "--list", "--root", code_root, "--json")
    assert code == 0
    assert [(row["run"], row["step"], row["pass_at_1"]) for row in json.loads(out)] == [("first", 30, 25.0)]


def test_an_evaluation_that_was_killed_goes_on_and_gives_the_same_file(
    capsys: pytest.CaptureFixture[str], benchmark: Path, solver: Path, tmp_path: Path
) -> None:
    words = [str(solver), "--benchmarks", str(benchmark), "--evalplus", str(PYTHON), "--results"]
    killed = tmp_path / "killed" / "HumanEvalPlus.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "phasemix", "evaluate", *words, str(killed.parent)], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and (not killed.exists() or killed.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(lines_of(killed))
    assert 2 <= done < 4
    with killed.open("ab") as file:
        file.write(b'{"task":"HumanEval/3","end":"en')  # as a kill within a write leaves it
    evaluate(capsys, *words, killed.parent)
    evaluate(capsys, *words, tmp_path / "whole")
    assert killed.read_bytes() == (tmp_path / "whole" / "HumanEvalPlus.jsonl").read_bytes()


def test_a_prompt_longer_than_the_context_counts_as_failed_and_is_named(
    capsys: pytest.CaptureFixture[str], benchmark: Path, solver: Path, tmp_path: Path
) -> None:
    first = json.loads(benchmark.read_text().splitlines()[0])
    first["prompt"] = first["prompt"].replace("Twice", "Twice " * 100)
    benchmark.write_text(json.dumps(first) + "\n" + "\n".join(benchmark.read_text().splitlines()[1:]))
    code, out, err = run(capsys, solver, "--benchmarks", benchmark, "--results", tmp_path / "results", "--json")
    assert code == 0
    (row,) = json.loads(out)["benchmarks"]
    assert (row["tasks"], row["passed"], row["too_long"]) == (4, 0, 1)
    assert "HumanEvalPlus: 1 prompts are longer than the context and count as failed: HumanEval/0" in err


def test_what_cannot_be_evaluated_is_one_line(
    capsys: pytest.CaptureFixture[str], benchmark: Path, solver: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    usual = ("--benchmarks", benchmark, "--results", results)
    evaluate(capsys, "--reference", *usual)
    (tmp_path / "bare").mkdir()
    (tmp_path / "broken").mkdir()
    for path in solver.iterdir():
        (tmp_path / "broken" / path.name).write_bytes(path.read_bytes()[:60])
    for words, said in (
        (usual, "name a MODEL, or give --reference, or --empty"),
        (("--reference", solver, *usual), "one of the three"),
        (("--reference", "--results", results), "name the released files with --benchmarks"),
        (("--reference", "--benchmarks", tmp_path / "none*", "--results", results), "names no file"),
        (("--reference", "--benchmarks", benchmark), "name the catalog with --root"),
        (("--empty", *usual), "has results of answers reference and not empty"),
        (
            ("--empty", "--sample", 2, "--markdown", *usual),
            "has no row in a table of whole benchmarks; leave out --markdown",
        ),
        (("--empty", "--sample", 0, *usual), "--sample must be at least 1 (got 0)"),
        ((tmp_path / "nowhere", *usual), "does not exist; name a folder of phasemix export"),
        ((tmp_path / "bare", *usual), "with --root"),
        ((tmp_path / "broken", "--benchmarks", benchmark, "--results", tmp_path / "b"), "cannot be loaded as a model"),
        ((solver, "--engine", "http://127.0.0.1:1/v1", "--serve", *usual), "give one of them"),
        (("--compare", results, tmp_path / "bare"), "has no kept results"),
    ):
        code, _, err = run(capsys, *words)
        assert (code, err.count("\n")) == (2, 1) or "loading" in err, err
        assert said in err
    kept = results / "HumanEvalPlus.jsonl"
    kept.write_bytes(kept.read_bytes().replace(b'"task"', b'"tusk"', 1))
    code, _, err = run(capsys, "--reference", *usual)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{kept}:2 cannot be read as a kept result" in err


def test_a_broken_benchmark_is_one_line_and_overwrites_nothing(
    capsys: pytest.CaptureFixture[str], benchmark: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    evaluate(capsys, "--reference", "--benchmarks", benchmark, "--results", results)
    kept, first = (results / benchmark.name).read_bytes(), benchmark.read_bytes().splitlines(keepends=True)[0]
    for data, said in (
        (first.replace(b'"entry_point"', b'"entry"'), f"{benchmark}:1 lacks entry_point; fetch the file of a release"),
        (b"", f"{benchmark} has no tasks; name the released JSON lines"),
        (b"<html>\n", f"{benchmark}:1 must be a JSON object"),
        (b"[" * 100_000, f"{benchmark}:1 must be a JSON object"),
        (first + first, f"{benchmark}:2: task HumanEval/0 is there twice"),
        (gzip.compress(first)[:40], f"tasks {benchmark} cannot be read"),
        (first, "has results of digest"),
    ):
        benchmark.write_bytes(data)
        code, _, err = run(capsys, "--reference", "--benchmarks", benchmark, "--results", results)
        assert (code, err.count("\n")) == (2, 1), err
        assert said in err
        assert (results / benchmark.name).read_bytes() == kept


def test_what_two_evaluations_were_made_with_is_said_where_it_differs(
    capsys: pytest.CaptureFixture[str], benchmark: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        evaluate(capsys, "--empty", "--benchmarks", benchmark, "--results", tmp_path / name)
    kept = tmp_path / "two" / "HumanEvalPlus.jsonl"
    _, _, err = run(capsys, "--compare", tmp_path / "one", tmp_path / "two")
    assert err == ""
    kept.write_bytes(kept.read_bytes().replace(b'"max_new_tokens":0', b'"max_new_tokens":8'))
    code, _, err = run(capsys, "--compare", tmp_path / "one", tmp_path / "two")
    assert (code, err.count("\n")) == (0, 1)
    assert "HumanEvalPlus: the first was made with max_new_tokens 0, the second with max_new_tokens 8" in err


def test_a_file_of_something_else_is_left_as_it_is(
    capsys: pytest.CaptureFixture[str], benchmark: Path, tmp_path: Path
) -> None:
    """Given the benchmark itself, or results of tasks that it does not have, where results are to be kept."""
    benchmark.write_bytes(benchmark.read_bytes().rstrip(b"\n"))
    before = benchmark.read_bytes()
    code, _, err = run(capsys, "--reference", "--benchmarks", benchmark, "--results", benchmark.parent)
    assert (code, benchmark.read_bytes()) == (2, before)
    assert f"{benchmark}:1 cannot be read as a kept result" in err
    evaluate(capsys, "--empty", "--benchmarks", benchmark, "--results", tmp_path / "kept")
    kept = tmp_path / "kept" / "HumanEvalPlus.jsonl"
    kept.write_bytes(kept.read_bytes().replace(b"HumanEval/3", b"HumanEval/03"))
    before = kept.read_bytes()
    code, _, err = run(capsys, "--empty", "--benchmarks", benchmark, "--results", tmp_path / "kept")
    assert (code, kept.read_bytes()) == (2, before)
    assert "has results of HumanEval/03, but HumanEvalPlus has no such tasks; remove these lines" in err
    kept.write_bytes(before.replace(b"answers/1", b"answers/2").replace(b'"task"', b'"name"'))
    code, _, err = run(capsys, "--empty", "--benchmarks", benchmark, "--results", tmp_path / "kept")
    assert "has format answers/2, this version reads answers/1; update phasemix" in err


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ""])
def test_a_model_that_names_no_run_is_refused(
    capsys: pytest.CaptureFixture[str], benchmark: Path, solver: Path, tmp_path: Path, name: str
) -> None:
    model = shutil.copytree(solver, tmp_path / "model")
    (model / "phasemix.json").write_text(json.dumps({"run": name, "step": 3, "sha256": "0" * 64}))
    code, _, err = run(capsys, model, "--benchmarks", benchmark, "--results", tmp_path / "results")
    assert (code, err.count("\n")) == (2, 1)
    assert "phasemix.json does not name run, step and sha256" in err


def test_a_sample_is_always_the_same_tasks(capsys: pytest.CaptureFixture[str], benchmark: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        evaluate(capsys, "--reference", "--sample", "2", "--benchmarks", benchmark, "--results", tmp_path / name)
        found.append([line["task"] for line in lines_of(tmp_path / name / "HumanEvalPlus.jsonl")])
    assert len(found[0]) == 2
    assert found[0] == found[1]
    code, _, err = run(capsys, "--reference", "--benchmarks", benchmark, "--results", tmp_path / "one")
    assert code == 2
    assert "has results of tasks 2 and not 4; give the same --sample as before, or name another folder" in err


def test_vllm_gives_the_answers_that_transformers_gives(
    capsys: pytest.CaptureFixture[str], benchmark: Path, solver: Path, tmp_path: Path
) -> None:
    if not ENGINE.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{ENGINE} is not there; run make engine")
        pytest.skip(f"{ENGINE} is not there; make engine installs vLLM")
    usual = (solver, "--benchmarks", benchmark, "--max-new-tokens", "24", "--results")
    served = evaluate(capsys, *usual, tmp_path / "served", "--serve", "--python", ENGINE)
    here = evaluate(capsys, *usual, tmp_path / "here")
    answers = [lines_of(tmp_path / name / "HumanEvalPlus.jsonl") for name in ("served", "here")]
    assert [(line["task"], line["answer"], line["end"], line["plus"]) for line in answers[0]] == [
        (line["task"], line["answer"], line["end"], line["plus"]) for line in answers[1]
    ]
    assert served["benchmarks"][0]["passed"] == here["benchmarks"][0]["passed"] == 1
    assert served["benchmarks"][0]["bits_per_byte"] is None
