"""Both encoders give the same ids, for whatever text, and a special token in a text is plain text."""

import json
import random
import sysconfig
from pathlib import Path

import pytest

from streamer.packing import encoder as encoders
from streamer.packing import tokenizer as tokenizers
from streamer.packing.encoder import TextEncoder, encode_slow

SHARED = Path(__file__).parents[4] / "shared" / "data" / "tokenizer"
TEXTS = [path.read_text() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-f]*.py"))]
ODD = [
    "", "a <|endoftext|> b", "<|endoftext|>", "a\0b", "\r\n\r\n\t  x", "  \u2003 x", " " * 5000, "\n" * 300,
    "don't WE'LL 12345",     "é e\u0301 İ ß ſ", "\u200b\ufeff x\u00a0y", "日本語のテスト", "🏳️‍🌈" * 5, "١٢٣ Ⅷ ²",
]  # fmt: skip
RANGES = ((32, 127), (160, 0x2FF), (0x300, 0x3000), (0x4E00, 0x9FFF), (0x1F300, 0x1FA00))


def any_text(chance: random.Random) -> str:
    return "".join(
        chance.choice((*map(chr, (9, 10, 13, 32, 32)), chr(chance.randrange(*chance.choice(RANGES)))))
        for _ in range(chance.randrange(1, 60))
    )


def known_tokenizers() -> dict[str, str]:
    found = {"trained": tokenizers.train(TEXTS[:20], vocabulary=900).to_str()}
    if SHARED.is_dir():
        found |= {name: (SHARED / name / "tokenizer.json").read_text() for name in ("codegen", "gpt-neox-20b")}
    return found


@pytest.mark.parametrize("name", ["trained", "codegen", "gpt-neox-20b"])
def test_both_encoders_give_the_same_ids(name: str) -> None:
    pytest.importorskip("gigatoken", reason="the corpus extra is not installed")
    if name not in known_tokenizers():
        pytest.skip("the shared data folder is not here")
    json_text, chance = known_tokenizers()[name], random.Random(7)
    encoder = TextEncoder(json_text)
    assert encoder.is_fast
    texts = [*TEXTS, *ODD, *(any_text(chance) for _ in range(1500))]
    slow = encode_slow(tokenizers.parse(json_text), texts)
    for text, mine, other in zip(texts, encoder.encode(texts), slow, strict=True):
        assert mine.tolist() == other.tolist(), text[:80]
        assert mine.dtype == other.dtype == "uint32"


def test_a_kind_that_is_not_known_is_encoded_all_the_same() -> None:
    other = json.loads(tokenizers.train(TEXTS[:5], vocabulary=600).to_str())
    digits, levels = {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False}
    levels |= {"trim_offsets": True, "use_regex": True}
    other["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, levels]}
    json_text = json.dumps(other)
    encoder = TextEncoder(json_text)
    assert not encoder.is_fast
    assert encoder.encode(["x = 12"])[0].tolist() == tokenizers.parse(json_text).encode("x = 12").ids


def test_an_encoder_that_differs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    json_text = tokenizers.train(TEXTS[:5], vocabulary=600).to_str()
    slow = tokenizers.parse(json_text)

    class Differs:
        def encode(self, text: str) -> object:
            return encode_slow(slow, [f"{text} "])[0]

    monkeypatch.setattr(encoders, "load_fast", lambda text: Differs())
    encoder = TextEncoder(json_text)
    assert not encoder.is_fast
    assert [ids.tolist() for ids in encoder.encode(ODD)] == [ids.tolist() for ids in encode_slow(slow, ODD)]
