"""`phasemix annotator`: train by a recipe, evaluate on benchmarks, look at documents, score files."""

import gzip
import json
import re
from pathlib import Path

import pytest
from two_kinds import NGRAMS, bad, good

from deploy.command_line import main
from streamer import Catalog
from streamer.errors import CorpusError
from streamer.publishing.publication import publish_path
from streamer.scoring.evaluating.benchmarks import read_solutions
from streamer.scoring.positives import read_streams
from streamer.scoring.trained import is_seen, load


@pytest.fixture
def place(root: Path, tmp_path: Path) -> Path:
    """A root with documents of two languages, good files beside a recipe, and two benchmarks; the folder of all that."""
    (tmp_path / "good").mkdir()
    for number in range(25):
        (tmp_path / "good" / f"{number}.py").write_text(good(number))
    for language in ("python", "go"):
        rows = [{"text": f"# {language}\n{bad(n)}", "path": f"{n}.x", "language": language} for n in range(60)]
        (tmp_path / f"{language}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        publish_path(Catalog(root), f"documents/{language}", tmp_path / f"{language}.jsonl")
    (tmp_path / "mine.toml").write_text(NGRAMS)
    (tmp_path / "length.toml").write_text(NGRAMS.replace('"mine"', '"other"').replace("good/*.py", "good/1*.py"))
    heads = {n: good(n).rpartition("    return")[0] for n in range(100, 120)}
    tasks = [
        {"task_id": f"T/{n}", "prompt": head, "canonical_solution": f"    return value + {n}\n"} for n, head in heads.items()
    ]
    (tmp_path / "First-a.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(task) + "\n" for task in tasks).encode()))
    rows = [{"task_id": n, "language": "go", "prompt": "Add", "canonical_solution": good(n)} for n in range(5)]
    rows.append({"task_id": 9, "language": "go", "prompt": "Add", "canonical_solution": None})  # type: ignore[dict-item]
    (tmp_path / "second.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_an_annotator_is_trained_evaluated_and_applied(place: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*words: str) -> list[dict[str, object]]:
        assert main(["annotator", *words, "--root", str(root), "--json"]) == 0
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return found

    (row,) = ask("train", str(place / "mine.toml"))
    assert (row["annotator"], row["good"], row["random"]) == ("mine@1", 25, 30)
    (row,) = ask("train", str(place / "mine.toml"), "--positives", str(place / "good" / "1*.py"), "--files", "40")
    assert (row["annotator"], row["good"], row["random"]) == ("mine@2", 11, 40)
    sets = ("--sets", str(place / "First*"), str(place / "second.jsonl"))
    rows = ask("evaluate", "mine@1", "mine@2", *sets, "--files", "50")
    assert [(row["annotator"], row["set"], row["language"]) for row in rows[:4]] == [
        ("mine@1", "First", None), ("mine@1", "First", "python"), ("mine@1", "second", None), ("mine@1", "second", "go"),
    ]  # fmt: skip
    assert len(rows) == 8
    assert rows[0]["solutions"] == 20
    assert rows[0]["documents"] == 50
    assert all(0.9 < float(str(row["auc"])) <= float(str(row["high"])) for row in rows)
    assert rows == ask(
        "evaluate", "mine@1", "mine@2", "--sets", str(place / "First*"), str(place / "second.jsonl"), "--files", "50"
    )
    best, worst = ask("look", "mine", "--top", "2"), ask("look", "mine", "--bottom", "2")
    assert float(str(best[0]["score"])) >= float(str(best[1]["score"])) > float(str(worst[0]["score"]))
    middle = ask("look", "mine", "--between", str(worst[0]["score"]), str(best[0]["score"]), "--files", "30")
    assert 10 < len(middle) <= 30
    scores = ask("score", "mine@1", str(place / "good" / "1.py"))
    assert float(str(scores[0]["score"])) > 0.5
    assert len(ask("list")) == 2


def test_what_people_read_names_each_set_and_compares_annotators(
    place: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mine", "length"):
        assert main(["annotator", "train", str(place / f"{name}.toml"), "--root", str(root)]) == 0
    sets = ["--sets", str(place / "First*"), "--plot", str(place / "plots" / "first")]
    assert main(["annotator", "evaluate", "mine", "other", *sets, "--root", str(root)]) == 0
    said = capsys.readouterr().out
    page = place / "plots" / "first" / "index.html"
    assert said.splitlines()[-1] == f"Curves and histograms: {page}"
    row = re.search(r"<tr><td>other@1</td><td>First</td><td>python</td>(.*)</tr>", page.read_text())
    assert row is not None
    (shown,) = [line.split() for line in said.splitlines() if re.match(r"other@1 +First +python", line)]
    assert [float(value) for value in re.findall(r"<td>([\d.]+)</td>", row[1])] == [float(value) for value in shown[3:]]
    curves = (page.parent / "roc-1-First.svg").read_text()
    assert all(f"{name}@1 " in curves for name in ("mine", "other"))
    assert "matched: auc among pairs of nearly equal length" in said
    assert ["set", "language", "mine@1", "other@1", "by_length"] in [line.split() for line in said.splitlines()]
    assert main(["annotator", "look", "mine", "--top", "1", "--root", str(root)]) == 0
    assert "1 of 120 random documents" in capsys.readouterr().out
    assert main(["annotator", "list", "--root", str(root)]) == 0
    assert "edu, hq, hqins, ins" in capsys.readouterr().out


def test_documents_that_were_learned_from_are_not_evaluated_on(
    place: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--root", str(root), "--json"]
    assert main(["annotator", "train", str(place / "mine.toml"), "--files", "100", *words]) == 0
    capsys.readouterr()
    assert main(["annotator", "evaluate", "mine", "--sets", str(place / "First*"), *words]) == 0
    assert json.loads(capsys.readouterr().out)[0]["documents"] == 20
    trained = load(Catalog(root), "mine")
    assert sum(is_seen(trained, one.text) for one in read_streams(Catalog(root), "documents/*")) == 100
    assert main(["annotator", "train", str(place / "mine.toml"), "--files", "500", *words]) == 0
    assert main(["annotator", "evaluate", "mine", "--sets", str(place / "First*"), *words]) == 2
    assert "one that an annotator learned from" in capsys.readouterr().err


def test_sets_that_cannot_be_are_said(place: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [len(texts) for texts in read_solutions([str(place / "First*"), str(place / "second.jsonl")]).values()] == [20, 5]
    with pytest.raises(CorpusError, match="There is no benchmark"):
        read_solutions([str(place / "absent*")])
    (place / "prompts.jsonl").write_text('{"task_id": 1, "prompt": "x"}\n')
    with pytest.raises(CorpusError, match="have no solutions"):
        read_solutions([str(place / "prompts.jsonl")])
    (place / "broken.jsonl").write_text("[1]\n")
    with pytest.raises(CorpusError, match=r"broken.jsonl:1 is "):
        read_solutions([str(place / "broken.jsonl")])
    (place / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n")[:-4])
    with pytest.raises(CorpusError, match="cannot be read"):
        read_solutions([str(place / "cut.jsonl.gz")])
    for words in (
        ["evaluate", "absent", "--sets", "x"],
        ["train", "absent"],
        ["train", str(place / "mine.toml"), "--files", "3"],
    ):
        assert main(["annotator", *words, "--root", str(root)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("phasemix: ")
