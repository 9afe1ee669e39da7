"""A tokenizer.json of strangers is taken, or refused in one line; whatever it does, it does elsewhere."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import CorpusError
from streamer.packing import tokenizer as tokenizers
from streamer.packing import tokenizer_shape
from streamer.packing.encoder import TextEncoder
from streamer.packing.tokenizer_file import read_text, try_out

BASE: dict[str, Any] = json.loads(tokenizers.train(["def f(x):\n    return x + 1\n"] * 9, vocabulary=300).to_str())
END = BASE["added_tokens"][0]
Change = Callable[[dict[str, Any]], None]


def put(*path_and_value: Any) -> Change:
    """Sets a value in the document: put("model", "dropout", 0.5)."""

    def change(document: dict[str, Any]) -> None:
        *path, last, value = path_and_value
        for key in path:
            document = document[key]
        document[last] = value

    return change


def split(expression: str) -> Change:
    """A regular expression that cuts texts before the bytes are mapped."""
    parts = [
        {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ]
    return put("pre_tokenizer", {"type": "Sequence", "pretokenizers": parts})


def replace(pattern: dict[str, str], content: str, times: int = 1) -> Change:
    one = {"type": "Replace", "pattern": pattern, "content": content}
    return put("normalizer", {"type": "Sequence", "normalizers": [one] * times})


HOSTILE: dict[str, tuple[Change, str]] = {
    "an expression that goes back for ever": (split("^(([0-9])+)+x"), "retry-limit"),
    "one that samples do not meet": (split("(a+)+$"), "cannot encode a long run"),
    "one in a normalizer": (replace({"Regex": "(a+a+)+y"}, "z"), "cannot encode a long run"),
    "a rare character that grows": (replace({"String": "\u03b6"}, "\u03b6" * 300, times=4), "8,100,000,000 times longer"),
    "nothing replaced by something": (replace({"String": ""}, "x"), "replaces nothing"),
    "a long prefix": (put("normalizer", {"type": "Prepend", "prepend": "x" * 1000}), "before each text"),
    "a map that aborts the process": (
        put("normalizer", {"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="}),
        "is lossy: its part Precompiled",
    ),
    "a map that panics": (put("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}), "Precompiled"),
    "pieces of no length": (put("pre_tokenizer", {"type": "FixedLength", "length": 0}), "FixedLength"),
    "a part without a type": (put("pre_tokenizer", {"length": 0}), "None"),
    "a word model": (put("model", {"type": "WordLevel", "unk_token": "?", "vocab": {"a": 0}}), "WordLevel"),
    "a piece model without its word": (
        put("model", {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "#", "vocab": {"a": 0}}),
        "WordPiece",
    ),
    "a unigram without its unknown": (put("model", {"type": "Unigram", "unk_id": 5, "vocab": [["a", -1.0]]}), "UnkId"),
    "ids that come by chance": (put("model", "dropout", 0.5), "dropout of 0.5"),
    "a sparse id": (put("model", "vocab", {**BASE["model"]["vocab"], "zz": 2**32 - 1}), "4,294,967,295"),
    "an id beyond 32 bits": (put("model", "vocab", {**BASE["model"]["vocab"], "zz": 2**32}), "u32"),
    "an id below 0": (put("model", "vocab", {**BASE["model"]["vocab"], "zz": -1}), "u32"),
    "an id of two tokens": (put("model", "vocab", {**BASE["model"]["vocab"], "zz": 5}), "two tokens"),
    "an added token beyond the table": (put("added_tokens", [END, {**END, "id": 70_000, "content": "<x>"}]), "70000"),
    "an added token on another's id": (put("added_tokens", [END, {**END, "id": 5, "content": "<x>"}]), "'<x>' has id 5"),
    "an added token of no text": (put("added_tokens", [END, {**END, "id": 300, "content": ""}]), "gives it none"),
    "too many ids": (
        put("model", "vocab", {**BASE["model"]["vocab"], **{f"z{n}": n for n in range(300, 2**20 + 2)}}),
        "at most 1,048,575",
    ),
    "a merge of absent tokens": (put("model", "merges", ["absent gone"]), "out of vocabulary"),
    "no merges at all": (put("model", "merges", 3), "cannot be read as a tokenizer.json"),
    "a sequence in a sequence": (
        lambda document: [
            document.update(normalizer={"type": "Sequence", "normalizers": [document["normalizer"]]}) for _ in range(40)
        ],
        "nested too deep",
    ),
}  # type: ignore[dict-item]
TEXTS = {
    "nothing": ("", "truncated"),
    "a list": ("[]", "cannot be read as a tokenizer.json"),
    "bytes": ("\0\1", "malformed"),
    "deep lists": ('{"model": {}, "more": ' + "[" * 100_000, "nested too deep"),
    "deep tables": ('{"model": {}, "more": ' + '{"a":' * 100_000, "nested too deep"),
    "half a surrogate pair": (json.dumps(BASE).replace('"!"', '"\\ud800"'), "cannot be read as a tokenizer.json"),
}


def write(tmp_path: Path, change: Change | str) -> Path:
    path = tmp_path / "tokenizer.json"
    if isinstance(change, str):
        path.write_text(change)
        return path
    document = copy.deepcopy(BASE)
    change(document)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(("change", "said"), [*HOSTILE.values(), *TEXTS.values()], ids=[*HOSTILE, *TEXTS])
def test_a_hostile_file_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], change: Change | str, said: str
) -> None:
    path = write(tmp_path, change)
    with pytest.raises(CorpusError) as refused:
        read_text(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700
    assert capfd.readouterr() == ("", "")  # no trace of a panic


@pytest.mark.parametrize(
    "change",
    [
        lambda document: None,
        put("normalizer", {"type": "NFC"}),
        put("normalizer", {"type": "Sequence", "normalizers": []}),
        put("truncation", {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}),
        put("added_tokens", [END, {**END, "id": 273, "content": "<x>"}]),
        split(r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
    ],
)
def test_what_is_not_hostile_is_taken(tmp_path: Path, change: Change) -> None:
    document = copy.deepcopy(BASE)
    assert len(document["model"]["vocab"]) == 273
    path = write(tmp_path, change)
    assert len(TextEncoder(read_text(path)).encode(["x = 1"])[0])


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    limit = 4 << 30
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "from streamer.packing.tokenizer_file import read_text\n"
        f"read_text({str(path)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"at most {tokenizer_shape.MOST_CHARACTERS:,} are read" in done.stderr.splitlines()[-1]


def test_a_trial_that_takes_too_much_memory_ends_and_says_so(tmp_path: Path) -> None:
    text = write(tmp_path, lambda document: None).read_text()
    with pytest.raises(CorpusError, match="tokenizer a cannot be used|needs more than|cannot encode|fail to memory"):
        try_out(text, name="tokenizer a", most_bytes=50 << 20)


def test_a_trial_that_takes_too_long_ends_and_says_so(tmp_path: Path) -> None:
    text = write(tmp_path, split(r"\s*x|[\s\S]")).read_text()  # each blank looks at all that follow
    with pytest.raises(CorpusError, match="more than 1 s of processor time"):
        try_out(text, name="tokenizer a", most_cpu_s=1)
