"""Which files count as copies of a benchmark's tasks: planted ones of a benchmark of our own and of the real ones."""

import gzip
import random
import sysconfig
from pathlib import Path
from typing import Any

import msgspec
import pytest
from benchmark_tasks import BODY, ROWS, WHOLE, write_set

from benchmarks.decontamination import published
from benchmarks.planted_tasks import inside, plant, reformatted, renamed, without_words
from streamer.errors import CorpusError
from streamer.likeness.code_views import structure
from streamer.likeness.contamination import Contamination, Match, Rule, code_of, index_tasks
from streamer.likeness.contamination_file import FOLDER, decode_index, encode_index, publish_index, read_index
from streamer.likeness.decontamination import Decontamination, read_sets
from streamer.likeness.structures import telling_words
from streamer.likeness.tasks import Task, read_tasks
from streamer.store.store import MemoryStore

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "benchmarks"
LIBRARY = Path(sysconfig.get_path("stdlib"))
HOST = (LIBRARY / "textwrap.py").read_text()
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the published benchmarks are not in {REAL}")


def contamination(folder: Path, **rule: Any) -> Contamination:
    return Contamination(read_sets(Decontamination(sets=(str(write_set(folder)),), **rule)))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Contamination:
    return contamination(tmp_path_factory.mktemp("sets"))


def test_a_set_is_read_by_the_columns_that_it_has(tmp_path: Path) -> None:
    tasks = list(read_tasks([str(write_set(tmp_path)), str(write_set(tmp_path, "others_java.jsonl"))]))
    assert [task.name for task in tasks[:4]] == [
        "own_set: Own/0",
        "own_set: 7",
        "own_set: Own_2_count",
        "own_set: JavaScript/3",
    ]
    assert [task.language for task in tasks[:4]] == ["python", "python", "javascript", "javascript"]
    assert [task.language for task in tasks[4:]] == ["java", "java", "javascript", "javascript"]
    assert tasks[0].head.strip() == "def greatest_stretch(numbers: list[int]) -> str:"
    assert tasks[0].request.strip('" \n') == ROWS[0]["prompt"].split('"""')[1].split(">>>")[0].strip()
    assert tasks[1].words == ROWS[1]["text"]
    assert "capital letter" in tasks[2].words
    assert [task.has_function for task in tasks[:4]] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (WHOLE, "function"),
        (BODY, "body"),
        (inside(without_words(WHOLE), HOST, random.Random(1)), "function"),
        (renamed(WHOLE), "words"),
        (renamed(without_words(WHOLE)), "structure"),
        (inside(renamed(without_words(WHOLE)), HOST, random.Random(2)), "structure"),
        (WHOLE.split('"""')[0] + WHOLE.split('"""')[2].replace("sum: ", "greatest: "), "function"),
        ("# Tell the greatest sum that neighbouring numbers\n#   of a list have between them, as words\nx = 1\n", "words"),
    ],
)
def test_a_task_is_found(found: Contamination, text: str, rule: str) -> None:
    assert found.find(text, "python") == Match("own_set: Own/0", 1.0, rule)


@pytest.mark.parametrize("seed", range(6))
def test_a_task_is_found_however_it_is_formatted(found: Contamination, seed: int) -> None:
    for text in (WHOLE, without_words(WHOLE), renamed(without_words(WHOLE))):
        match = found.find(reformatted(text, random.Random(seed)), "python")
        assert match is not None
        assert match.task == "own_set: Own/0"


def test_half_a_solution_counts_by_its_share(found: Contamination, tmp_path: Path) -> None:
    part = renamed(without_words(WHOLE)).rpartition("    return")[0] + "    return 1\n"
    match = found.find(part, "python")
    assert match is not None
    assert 0.65 <= match.score < 1
    assert msgspec.json.decode(msgspec.json.encode(match)) == ["own_set: Own/0", match.score, "structure"]
    assert contamination(tmp_path, min_overlap=1.0).find(part, "python") is None
    assert contamination(tmp_path, min_words=90, min_words_whole=90).find(renamed(without_words(WHOLE)), "python") is None


def test_a_short_solution_counts_as_a_whole_alone(tmp_path: Path) -> None:
    def solution(name: str, change: str) -> str:
        head = f"def {name}({name}_of):\n    for item in {name}_of:\n"
        return f"{head}        if item[0] != {name}_of[-1] {change} 2:\n            return item\n"

    task = Task(name="Short/0", language="python", words="", head="", solution=solution("first_odd", "+"))
    count = telling_words(structure(code_of(task)))
    for least, is_found in ((count, True), (count + 1, False)):
        found = Contamination(index_tasks([task], Rule(min_words_whole=least)))
        assert (found.find(solution("other", "+"), "python") is not None) is is_found
        assert found.find(solution("other", "-"), "python") is None


def test_a_short_task_counts_where_its_words_stand_beside_its_solution(tmp_path: Path) -> None:
    words, solution = f"# {ROWS[1]['text']}\n", "y = [1]\n\ndef grad(d):\n    return (d / 0.9)\n"
    found = contamination(tmp_path, min_letters=80, min_function_letters=80)
    assert found.find(words + "x = 1\n" + solution, "python") == Match("own_set: 7", 1.0, "words and solution")
    assert found.find(words, "python") is None
    assert found.find(solution, "python") is None
    assert contamination(tmp_path, min_letters=80, min_letters_together=60).find(words + solution, "python") is None


def test_files_of_the_standard_library_have_none_of_the_tasks(found: Contamination) -> None:
    texts = [path.read_text() for path in sorted(LIBRARY.glob("*.py"))]
    assert len(texts) > 100
    assert [text[:80] for text in texts if found.find(text, "python") is not None] == []


def test_files_that_are_judged_together_are_judged_one_by_one(found: Contamination) -> None:
    texts = [HOST, WHOLE, "", "\x7f", renamed(without_words(WHOLE)), "x\x7f\0" * 99, WHOLE[:90], BODY, HOST]
    languages = ["python"] * len(texts)
    alone = [found.find(text, "python") for text in texts]
    assert found.find_all(texts, languages) == alone
    assert [place for place, match in enumerate(alone) if match] == [1, 4, 7]
    halves = [WHOLE[:140], WHOLE[140:200], WHOLE[200:420], WHOLE[420:]]
    assert found.find_all(halves, languages[:4]) == [found.find(half, "python") for half in halves]
    assert found.find_all([], []) == []


@pytest.mark.parametrize("text", ["", "\n", "#", "x", "\udc80", "é" * 40, "a" * 16, "\0" * 99])
def test_any_text_has_a_verdict(found: Contamination, text: str) -> None:
    assert found.find(text, "python") is None


def test_repetitions_are_no_passages(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"task_id": "a", "solution": "%s"}\n' % ("case return " * 30))
    index = read_sets(Decontamination(sets=(str(path),)))
    assert len(index.passages.sizes) == len(index.structures.lengths) == 0
    assert Contamination(index).find("case return " * 99, "python") is None


def test_an_index_is_the_same_in_a_file_and_holds_no_text(tmp_path: Path) -> None:
    store, index = MemoryStore(), read_sets(Decontamination(sets=(str(write_set(tmp_path)),), min_overlap=0.7))
    data = encode_index(index)
    name = publish_index(store, data)
    assert name == publish_index(
        store, encode_index(index_tasks(read_tasks([str(write_set(tmp_path))]), Rule(min_overlap=0.7)))
    )
    again = read_index(store, name)
    assert again.rule == Rule(min_overlap=0.7)
    assert Contamination(again).find(WHOLE, "python") == Contamination(index).find(WHOLE, "python")
    assert b"neighbouring" not in data
    assert b"greatest" not in data
    with pytest.raises(CorpusError, match="lacks corpus/contamination/absent"):
        read_index(store, "absent")
    for damaged in (data[:100], b"", data[:-9], b"\x81\xa6format\xafcontamination/1"):
        with pytest.raises(CorpusError, match="is damaged"):
            decode_index(damaged, FOLDER)
    with pytest.raises(CorpusError, match=r"has format contamination/2; this version reads contamination/1"):
        decode_index(data.replace(b"contamination/1", b"contamination/2"), FOLDER)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "There is no benchmark .*bad.jsonl"),
        (b'{"task_id": 1, "prompt": " ", "tests": "x"}\n', r"bad.jsonl:1 has no text of a task. One of these columns"),
        (b'\n{"task_id": 1, "text": "a"}\n[]\n', r"bad.jsonl:3 is not a JSON object"),
        (gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:30], r"Cannot read the benchmark .*bad.jsonl.gz"),
        (b"no gzip", r"Cannot read the benchmark .*bad.jsonl.gz"),
    ],
)
def test_a_set_that_cannot_be_used_is_named(tmp_path: Path, data: bytes | None, message: str) -> None:
    path = tmp_path / ("bad.jsonl.gz" if data is not None and not data.startswith((b"{", b"\n")) else "bad.jsonl")
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        read_sets(Decontamination(sets=(str(path),)))


@needs_real
def test_solutions_of_the_published_benchmarks_are_found() -> None:
    index = read_sets(
        Decontamination(sets=tuple(f"{REAL}/{name}/*.jsonl.gz" for name in ("evalplus", "evoeval", "bigcodebench")))
    )
    everything = Contamination(index)
    for kind, planted in plant(published(REAL), random.Random(7), 25).items():
        missed = [one.task for one in planted if everything.find(one.text, "python") is None]
        assert len(missed) <= (0 if kind == "verbatim" else 1), (kind, missed)
