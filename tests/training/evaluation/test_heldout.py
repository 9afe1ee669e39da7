"""Bits per byte counts the bytes of the text that is predicted, and nothing else."""

import math

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from streamer import Catalog
from training.errors import HeldoutError
from training.evaluation.heldout import Totals, bytes_of_tokens, check_heldout, load, measure, merge, padding
from training.phases.phase import Heldout

ROWS = np.arange(20 * 16, dtype=np.uint16).reshape(20, 16)


@pytest.fixture
def fingerprint(code_root):
    return Catalog(code_root).stream("raw/python").tokenizer


def one_bit(rows):
    return np.full((len(rows), rows.shape[1] - 1), math.log(2))


def measured(root, settings, *, tokenizer, rank=0, world_size=1) -> dict[str, Totals]:
    samples = load(str(root), settings, tokenizer=tokenizer)
    return {} if samples is None else measure(samples.part(rank, world_size), one_bit)


def test_the_bytes_of_tokens_sum_to_the_bytes_of_their_text(tokenizer, source_text):
    text = source_text[:3000] + "naïve 变量 🙂"
    lengths = bytes_of_tokens(tokenizer)
    assert lengths[tokenizer.encode(text).ids].sum() == len(text.encode())
    assert lengths[tokenizer.token_to_id("<|endoftext|>")] == 0


def test_only_end_tokens_behind_an_end_token_are_padding():
    found = padding(np.array([[5, 0, 7, 0, 0, 0]], np.uint16), 0)
    assert found.tolist() == [[False, False, False, False, True, True]]


def test_one_bit_a_token_gives_tokens_over_bytes(code_root, tokenizer, fingerprint):
    totals = merge([measured(code_root, Heldout(), tokenizer=fingerprint)])
    catalog, lengths = Catalog(code_root), bytes_of_tokens(tokenizer)
    from streamer import SnapshotLoader

    rows = np.concatenate([batch.tokens for batch in SnapshotLoader(code_root, "heldout/*")])
    assert catalog.stream("heldout/python").samples == len(rows) == 20
    assert totals["all"].tokens == 20 * 31
    assert totals["all"].bits_per_byte == pytest.approx(20 * 31 / lengths[rows[:, 1:]].sum())


def test_ranks_share_the_samples_and_sum_to_the_whole(code_root, fingerprint):
    settings = Heldout(max_samples=10, batch_samples=3)
    parts = [measured(code_root, settings, tokenizer=fingerprint, rank=rank, world_size=2) for rank in range(2)]
    whole = merge([measured(code_root, settings, tokenizer=fingerprint)])
    assert merge(parts)["all"].text_bytes == whole["all"].text_bytes
    assert merge(parts)["all"].tokens == whole["all"].tokens == 10 * 31


@pytest.mark.parametrize(("samples", "world_size"), [(10, 2), (10, 3), (1, 2), (20, 4)])
def test_ranks_call_the_model_equally_often(code_root, fingerprint, samples, world_size):
    """Given fewer batches than ranks would need, then some score nothing, which is not counted."""
    settings, calls, parts = Heldout(max_samples=samples, batch_samples=3), [], []
    whole = load(str(code_root), settings, tokenizer=fingerprint)
    of_ranks = [whole.part(rank, world_size) for rank in range(world_size)]
    most = max(len(one.batches) for one in of_ranks)
    for one in of_ranks:
        scored = []
        parts.append(measure(one, lambda rows, scored=scored: (scored.append(len(rows)), one_bit(rows))[1], calls=most))
        calls.append(len(scored))
    assert calls == [most] * world_size
    assert merge(parts)["all"].tokens == samples * 31


def test_samples_are_spread_evenly_over_the_streams(code_root, fingerprint):
    """Given three streams, of which each seventh sample is read, then they are those of the whole, whatever the shards."""
    from streamer import SnapshotLoader

    rows = np.concatenate([batch.tokens for batch in SnapshotLoader(code_root, "*/*")])
    loader = SnapshotLoader(code_root, "*/*", stride=7, batch_rows=4)
    found = list(loader)
    np.testing.assert_array_equal(np.concatenate([batch.tokens for batch in found]), rows[::7])
    origins = np.concatenate([batch.origin for batch in found])
    whole = np.concatenate([batch.origin for batch in SnapshotLoader(code_root, "*/*")])
    np.testing.assert_array_equal(origins, whole[::7])
    assert (len(loader), loader.samples) == (len(found), len(rows[::7]))


def test_without_held_out_streams_there_is_no_figure(code_root):
    for glob in ("heldout/rust", ""):
        assert merge([measured(code_root, Heldout(streams=glob), tokenizer=None)]) == {}


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
            measured(code_root, Heldout(), tokenizer=other)
    catalog.append("bare/go", ROWS, seq_len=16)
    with pytest.raises(HeldoutError, match="bare/go has no tokenizer"):
        check_heldout(catalog, Heldout(streams="bare/*"), tokenizer=None)
    print_ = catalog.put_tokenizer(lossy().to_str())
    catalog.append("lossy/go", ROWS, seq_len=16, tokenizer=print_)
    with pytest.raises(HeldoutError, match="lossy"):
        check_heldout(catalog, Heldout(streams="lossy/*"), tokenizer=print_)
