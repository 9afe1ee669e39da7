"""Control-C, errors and lacking packages: what was answered is kept, and is checked by the next call."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.command_line import main

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".evalplus" / "bin" / "python"
SLOW = "    import time; time.sleep(3)\n"  # whose check takes some seconds
Answers = Callable[[str, Any], tuple[int, Any]]
Serve = Callable[[Answers], str]


def command(model: Path, benchmark: Path, results: Path, *words: str) -> list[str]:
    usual = ["--benchmarks", str(benchmark), "--results", str(results), "--evalplus", str(PYTHON), "--json", *words]
    return ["evaluate", str(model), *usual]


def start(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own, to whose log in `folder` its messages go."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "phasemix", *words], cwd=REPOSITORY, stderr=log, stdout=log)


def wait_for(met: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 120
    while not met():
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


class Engine:
    """Answers all tasks but the last at once, and that one when it is told to. `asked`: the prompts, in their order."""

    def __init__(self, answer: str) -> None:
        self.asked: list[str] = []
        self.may_end = threading.Event()
        self._answer = answer

    def __call__(self, path: str, request: Any) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"data": [{"id": "tiny"}]}
        self.asked.append(request["prompt"])
        if "negative" in request["prompt"]:
            self.may_end.wait(300)
        return 200, {"choices": [{"text": self._answer, "finish_reason": "stop"}]}


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_answered_is_kept_by_control_c_and_checked_by_the_next_call(
    number: signal.Signals,
    benchmark: Path,
    solver: Path,
    served: Serve,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = Engine(SLOW)
    words = command(solver, benchmark, tmp_path / "results", "--engine", served(engine), "--concurrency", "4")
    process = start(words, tmp_path)
    wait_for(lambda: len(engine.asked) == 4, process)
    time.sleep(1)  # so that answers have come, and are being checked
    process.send_signal(number)
    assert process.wait(60) == 130
    engine.may_end.set()
    said = (tmp_path / "log").read_text()
    assert "interrupted; what was answered is kept" in said
    assert "Traceback" not in said
    kept = lines_of(tmp_path / "results" / "HumanEvalPlus.jsonl")
    assert [(line["answer"], line["plus"]) for line in kept] == [(SLOW, "not_checked: interrupted")] * 3
    assert main(words) == 0
    assert len(engine.asked) == 5  # only the last was asked for once more
    (row,) = json.loads(capsys.readouterr().out)["benchmarks"]
    assert (row["tasks"], row["passed"], row["not_checked"]) == (4, 0, 0)
    kept = lines_of(tmp_path / "results" / "HumanEvalPlus.jsonl")
    assert [(line["task"], line["plus"]) for line in kept] == [(f"HumanEval/{task}", "fail") for task in range(4)]


def test_a_second_control_c_leaves_at_once(benchmark: Path, solver: Path, served: Serve, tmp_path: Path) -> None:
    engine = Engine(SLOW)
    process = start(command(solver, benchmark, tmp_path / "results", "--engine", served(engine)), tmp_path)
    wait_for(lambda: len(engine.asked) == 4, process)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "interrupted" in (tmp_path / "log").read_text(), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == -signal.SIGINT  # ended by it, and not by the end of what it waits for
    assert "Traceback" not in (tmp_path / "log").read_text()
    engine.may_end.set()


def test_an_interrupted_model_of_this_process_goes_on_to_the_same_file(
    benchmark: Path, solver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "results" / "HumanEvalPlus.jsonl"
    process = start(command(solver, benchmark, kept.parent), tmp_path)
    wait_for(lambda: kept.exists() and kept.read_bytes().count(b"\n") > 1, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "Traceback" not in (tmp_path / "log").read_text()
    for results in (kept.parent, tmp_path / "whole"):
        assert main(command(solver, benchmark, results)) == 0
    assert kept.read_bytes() == (tmp_path / "whole" / kept.name).read_bytes()


def test_an_engine_that_goes_leaves_the_answers(
    benchmark: Path, solver: Path, served: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(path: str, request: Any) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"data": [{"id": "tiny"}]}
        if "negative" in request["prompt"]:
            return 404, {"error": "gone"}
        return 200, {"choices": [{"text": SLOW, "finish_reason": "stop"}]}

    words = command(solver, benchmark, tmp_path / "results", "--concurrency", "1", "--engine")
    assert main([*words, served(fails)]) == 2
    assert "answers 404" in capsys.readouterr().err
    assert len(lines_of(tmp_path / "results" / "HumanEvalPlus.jsonl")) == 3
    engine = Engine("    return number * 2\n")
    engine.may_end.set()
    assert main([*words, served(engine)]) == 0
    assert len(engine.asked) == 1


def test_as_many_answers_are_asked_for_at_once_as_is_said(
    benchmark: Path, solver: Path, served: Serve, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in benchmark.read_text().splitlines()]
    more = [{**rows[0], "task_id": f"HumanEval/{number}"} for number in range(150)]
    benchmark.write_text("".join(json.dumps(row) + "\n" for row in more))
    together, all_there = threading.Barrier(150), threading.Event()

    def answers(path: str, request: Any) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"data": [{"id": "tiny"}]}
        together.wait(120)  # broken unless 150 requests are there at once
        all_there.set()
        return 404, {"error": "enough"}

    words = command(solver, benchmark, tmp_path / "results", "--engine", served(answers), "--concurrency", "150")
    assert main(words) == 2
    assert all_there.is_set()


def test_tasks_that_were_not_checked_are_checked_again_without_an_answer(
    benchmark: Path, solver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(solver, benchmark, tmp_path / "results")
    assert main(words) == 0
    kept = tmp_path / "results" / "HumanEvalPlus.jsonl"
    whole = kept.read_bytes()
    heading, *lines = whole.splitlines(keepends=True)
    lacking = [
        line.replace(b'"base":"pass","plus":"pass"', b'"base":"not_checked: a","plus":"not_checked: a"') for line in lines
    ]
    assert lacking != lines
    kept.write_bytes(b"".join((heading, *lacking)))
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["benchmarks"][0]["passed"] == 1
    assert "loading" not in said.err  # its answer is kept
    assert kept.read_bytes() == whole


def test_results_of_one_served_model_are_not_another_s(
    benchmark: Path, solver: Path, served: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine("    return number * 2\n")
    engine.may_end.set()
    words = command(solver, benchmark, tmp_path / "results", "--engine")
    assert main([*words, served(engine)]) == 0
    heading = json.loads((tmp_path / "results" / "HumanEvalPlus.jsonl").read_text().splitlines()[0])
    assert heading["writer"] == "engine serving tiny"
    assert main([*words, "http://127.0.0.1:1/v1", "--served-model", "tiny"]) == 0  # all is there: nothing is asked
    other = served(lambda path, request: (200, {"data": [{"id": "large"}]}))
    capsys.readouterr()
    assert main([*words, other]) == 2
    assert "has results of writer engine serving tiny and not engine serving large" in capsys.readouterr().err
    for more, said in (
        (["--concurrency", "2000"], "--concurrency must be at most 1,024 (got 2,000)"),
        (["--served-model", "tiny"], "--served-model tiny names a model of --engine, which is not given"),
    ):
        assert main([*words[:-1], *more]) == 2
        assert said in capsys.readouterr().err
