"""Bits per byte counts the bytes of the text that is predicted, and nothing else."""

import math

import numpy as np
import pytest

from streamer import Catalog
from training.evaluation.heldout import bytes_of_tokens, measure, merge, padding
from training.phases.phase import Heldout


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


def test_one_bit_a_token_gives_tokens_over_bytes(code_root, tokenizer):
    totals = merge([measure(str(code_root), Heldout(), one_bit)])
    catalog, lengths = Catalog(code_root), bytes_of_tokens(tokenizer)
    from streamer import SnapshotLoader

    rows = np.concatenate([batch.tokens for batch in SnapshotLoader(code_root, "heldout/*")])
    assert catalog.stream("heldout/python").samples == len(rows) == 20
    assert totals["all"].tokens == 20 * 31
    assert totals["all"].bits_per_byte == pytest.approx(20 * 31 / lengths[rows[:, 1:]].sum())


def test_ranks_share_the_samples_and_sum_to_the_whole(code_root):
    settings = Heldout(max_samples=10, batch_samples=3)
    parts = [measure(str(code_root), settings, one_bit, rank=rank, world_size=2) for rank in range(2)]
    whole = merge([measure(str(code_root), settings, one_bit)])
    assert merge(parts)["all"].text_bytes == whole["all"].text_bytes
    assert merge(parts)["all"].tokens == whole["all"].tokens == 10 * 31


def test_without_held_out_streams_there_is_no_figure(code_root):
    assert merge([measure(str(code_root), Heldout(streams="heldout/rust"), one_bit)]) == {}
