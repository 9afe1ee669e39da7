"""Tokenizers: trained, and refused when they lose text."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from streamer.errors import CorpusError
from streamer.packing import tokenizer as tokenizers
from streamer.packing.encoder import TextEncoder
from streamer.packing.tokenizer_file import read_text

SHARED = Path(__file__).parents[4] / "shared" / "data" / "tokenizer"
TEXTS = [path.read_text() for path in sorted((Path(__file__).parents[1] / "corpus").glob("*.py"))]


def test_the_same_texts_give_the_same_tokenizer_which_gives_texts_back() -> None:
    first, second = (tokenizers.train(TEXTS, vocabulary=600).to_str() for _ in range(2))
    assert first == second
    tokenizer, encoder = tokenizers.parse(first), TextEncoder(first)
    for text in [*TEXTS, "tab\tnbsp\u00a0 \r\n é e\u0301 🙂 <|endoftext|>"]:
        assert tokenizer.decode(encoder.encode([text])[0].tolist(), skip_special_tokens=False) == text


def test_the_end_of_document_token_is_never_read_out_of_a_text() -> None:
    tokenizer = tokenizers.train(TEXTS, vocabulary=400)
    end = tokenizers.end_of_document_id(tokenizer)
    assert end not in TextEncoder(tokenizer.to_str()).encode(["a <|endoftext|> b"])[0]


def test_a_lossy_tokenizer_is_refused() -> None:
    lossy = Tokenizer.from_str(tokenizers.train(TEXTS, vocabulary=400).to_str())
    lossy.normalizer = normalizers.Lowercase()
    with pytest.raises(CorpusError, match="is lossy"):
        tokenizers.parse(lossy.to_str())


def test_a_tokenizer_without_an_end_of_document_token_is_refused() -> None:
    bare = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel()
    with pytest.raises(CorpusError, match=r"has no token <\|endoftext\|>"):
        tokenizers.parse(bare.to_str())


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(CorpusError, match=r"as a tokenizer\.json"):
        read_text(tmp_path / "tokenizer.json")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_text(tmp_path / "absent.json")


def test_a_vocabulary_beyond_uint16_is_refused() -> None:
    tokenizer = Tokenizer(models.BPE(vocab={f"t{n}": n for n in range(70_000)}, merges=[]))
    with pytest.raises(CorpusError, match="69999, uint16 holds 65535; use dtype uint32"):
        tokenizers.check_dtype(tokenizer, "uint16")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
@pytest.mark.parametrize(("name", "end"), [("codegen", 50256), ("gpt-neox-20b", 0), ("torchtitan-test", None)])
def test_released_tokenizers_are_taken_unless_lossy(name: str, end: int | None) -> None:
    path = SHARED / name / "tokenizer.json"
    if end is None:
        with pytest.raises(CorpusError, match="is lossy"):
            read_text(path)
    else:
        assert tokenizers.describe(path.read_text()).end_of_document_id == end
