"""Bits per byte counts the bytes of the text that is predicted, and nothing else."""

import math

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from streamer import Catalog
from training.errors import HeldoutError
from training.evaluation.heldout import bytes_of_tokens, check_heldout, measure, merge, padding
from training.phases.phase import Heldout

ROWS = np.arange(20 * 16, dtype=np.uint16).reshape(20, 16)


@pytest.fixture
def fingerprint(code_root):
    return Catalog(code_root).stream("raw/python").tokenizer


def one_bit(rows):
    return np.full((len(rows), rows.shape[1] - 1), math.log(2))


def test_the_bytes_of_tokens_sum_to_the_bytes_of_their_text(tokenizer, source_text):
    text = source_text[:3000] + "naïve 变量 🙂"
    lengths = bytes_of_tokens(tokenizer)
    assert lengths[tokenizer.encode(text).ids].sum() == len(text.encode())
    assert lengths[tokenizer.token_to_id("<|endoftext|>")] == 0


def test_only_end_tokens_behind_an_end_token_are_padding():
    found = padding(np.array([[5, 0, 7, 0, 0, 0]], np.uint16), 0)
    assert found.tolist() == [[False, False, False, False, True, True]]


def test_one_bit_a_token_gives_tokens_over_bytes(code_root, tokenizer, fingerprint):
    totals = merge([measure(str(code_root), Heldout(), one_bit, tokenizer=fingerprint)])
    catalog, lengths = Catalog(code_root), bytes_of_tokens(tokenizer)
    from streamer import SnapshotLoader

    rows = np.concatenate([batch.tokens for batch in SnapshotLoader(code_root, "heldout/*")])
    assert catalog.stream("heldout/python").samples == len(rows) == 20
    assert totals["all"].tokens == 20 * 31
    assert totals["all"].bits_per_byte == pytest.approx(20 * 31 / lengths[rows[:, 1:]].sum())


def test_ranks_share_the_samples_and_sum_to_the_whole(code_root, fingerprint):
    settings = Heldout(max_samples=10, batch_samples=3)
    parts = [measure(str(code_root), settings, one_bit, tokenizer=fingerprint, rank=rank, world_size=2) for rank in range(2)]
    whole = merge([measure(str(code_root), settings, one_bit, tokenizer=fingerprint)])
    assert merge(parts)["all"].text_bytes == whole["all"].text_bytes
    assert merge(parts)["all"].tokens == whole["all"].tokens == 10 * 31


def test_without_held_out_streams_there_is_no_figure(code_root):
    for glob in ("heldout/rust", ""):
        assert merge([measure(str(code_root), Heldout(streams=glob), one_bit, tokenizer=None)]) == {}


def lossy():
    words = {"<|endoftext|>": 0} | {f"w{number}": number for number in range(1, 500)}
    return Tokenizer(models.WordLevel(words, unk_token="<|endoftext|>"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda catalog: catalog.append("heldout/go", ROWS, seq_len=16),
            "heldout/go .*heldout/python .*cannot be evaluated",
        ),
        (lambda catalog: catalog.append("heldout/go", ROWS.reshape(-1, 32), seq_len=32), "cannot be evaluated together"),
        (
            lambda catalog: (catalog.store.root / f"tokenizers/{catalog.stream('raw/go').tokenizer}.json").unlink(),
            "not under",
        ),
    ],
)
def test_streams_that_cannot_be_evaluated_are_refused_before_they_are_needed(code_root, fingerprint, spoil, says):
    catalog = Catalog(code_root)
    assert check_heldout(catalog, Heldout(), tokenizer=fingerprint)
    spoil(catalog)
    with pytest.raises(HeldoutError, match=says) as error:
        check_heldout(catalog, Heldout(), tokenizer=fingerprint)
    assert "--set heldout.streams=" in str(error.value)
    assert "\n" not in str(error.value)


def test_ids_of_another_tokenizer_than_the_runs_have_no_figure(code_root, fingerprint):
    """Given a run of another tokenizer, of none, or a held-out stream of none, then nothing is measured."""
    catalog = Catalog(code_root)
    for other in ("bpe-0123456789abcdef", None):
        with pytest.raises(HeldoutError, match="its loss would mean nothing"):
            measure(str(code_root), Heldout(), one_bit, tokenizer=other)
    catalog.append("bare/go", ROWS, seq_len=16)
    with pytest.raises(HeldoutError, match="bare/go has no tokenizer"):
        check_heldout(catalog, Heldout(streams="bare/*"), tokenizer=None)
    print_ = catalog.put_tokenizer(lossy().to_str())
    catalog.append("lossy/go", ROWS, seq_len=16, tokenizer=print_)
    with pytest.raises(HeldoutError, match="lossy"):
        check_heldout(catalog, Heldout(streams="lossy/*"), tokenizer=print_)
