"""What a training learns of a batch: documents rearranged into a gap to fill, and documents' starts left out."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from train_process import Training, train
from train_process import words as asked_words

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog
from streamer.reading.snapshot_loader import ORIGIN, Batch
from training import MixedLoader
from training.loading.fill_in_the_middle import FillInTheMiddle, starts_of
from training.measures.steps_log import read_steps

PREFIX, SUFFIX, MIDDLE, END = 901, 902, 903, 900
SEQ_LEN = 32
MIXTURE = f'name = "m"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 4\n'


def fill_in(share: float = 1.0, suffix_first: float = 0.5, seed: int = 0) -> FillInTheMiddle:
    return FillInTheMiddle(
        share=share,
        suffix_first_share=suffix_first,
        prefix_id=PREFIX,
        suffix_id=SUFFIX,
        middle_id=MIDDLE,
        end_id=END,
        seed=seed,
    )


def put_back(tokens: list[int]) -> tuple[list[int], bool]:
    """A document as it was, and whether its suffix came first."""
    end = [END] if tokens[-1] == END else []
    tokens = tokens[: len(tokens) - len(end)]
    suffix_at, middle_at = tokens.index(SUFFIX), tokens.index(MIDDLE)
    assert tokens[0] == PREFIX
    behind, suffix = tokens[middle_at + 1 :], tokens[suffix_at + 1 : middle_at]
    if suffix_at == 1:
        return behind + suffix + end, True
    return tokens[1:suffix_at] + behind + suffix + end, False


def one_row(documents: list[list[int]], seq_len: int) -> Batch:
    tokens = np.array([[*itertools.chain(*documents)]], np.uint16)
    ends = np.array([[0, *np.cumsum([len(document) for document in documents]), seq_len]], np.int32)
    return Batch(tokens, np.zeros(1, ORIGIN), ends)


def test_a_document_is_prefix_suffix_and_middle_in_either_order() -> None:
    seen = set()
    for seed in range(40):
        batch = one_row([[*range(1, 20), END], [*range(40, 52)]], 32)
        found = fill_in(seed=seed).apply(batch, step=3, first_row=0)
        tokens, ends = found.tokens[0].tolist(), found.boundaries[0].tolist()
        assert ends == [0, 23, 32, 32]
        document, is_suffix_first = put_back(tokens[:23])
        assert document == [*range(1, 20), END]
        assert tokens[23] == PREFIX  # the second one, of which the sample's end cuts off six tokens
        seen.add(is_suffix_first)
        assert batch.tokens[0].tolist() == [*range(1, 20), END, *range(40, 52)]
    assert seen == {True, False}


def test_the_order_is_pinned() -> None:
    found = fill_in(seed=5).apply(one_row([[*range(1, 12), END]], 12), step=7, first_row=2)
    assert found.tokens[0].tolist() == [PREFIX, 1, 2, 3, 4, SUFFIX, 11, MIDDLE, 5, 6, 7, 8]


def test_shares_are_as_asked_and_nothing_else_changes() -> None:
    rows = np.tile(np.array([*range(1, 8), END], np.uint16), (4000, 4))
    ends = np.tile(np.array([0, 8, 16, 24, 32], np.int32), (4000, 1))
    found = fill_in(0.25, 0.2).apply(Batch(rows, np.zeros(4000, ORIGIN), ends), step=0, first_row=0)
    begun = int((found.tokens == PREFIX).sum())
    assert 0.22 < begun / 16000 < 0.26  # a little less than asked, for what is cut off
    assert ((found.tokens == PREFIX).any(1) == (found.tokens != rows).any(1)).all()
    both = (found.tokens[:, :-1] == PREFIX) & (found.tokens[:, 1:] == SUFFIX)
    assert 0.35 < both.sum() / begun < 0.45  # suffix first, 0.2, and of the others the 0.23 whose prefix is empty


def test_padding_and_redacted_documents_stay() -> None:
    batch = one_row([[*range(1, 8), END], [END] * 8, [*range(20, 28)]], 24)
    redacted = np.zeros((1, 24), bool)
    redacted[0, 2] = True
    found = fill_in().apply(batch._replace(redacted=redacted), step=0, first_row=0)
    assert found.tokens[0, :16].tolist() == batch.tokens[0, :16].tolist()
    assert found.redacted is not None
    assert found.redacted.tolist() == redacted.tolist()
    assert found.tokens[0, 16] == PREFIX


def test_a_start_is_where_another_document_stands_before() -> None:
    ends = np.array([[0, 3, 5, 8, 8], [0, 8, 8, 8, 8]], np.int32)
    assert starts_of(ends, 8).tolist() == [[False, False, False, True, False, True, False, False], [False] * 8]


@pytest.fixture
def documents(root: Path) -> Path:
    """Three documents a sample."""
    draw, spans = np.random.default_rng(4), []
    for sample, (start, end) in itertools.product(range(120), ((0, 9), (9, 20), (20, SEQ_LEN))):
        told = {"repository": "r", "path": "a.py", "language": "python", "license": "MIT"}
        spans.append({"sample": sample, "start": start, "end": end, "document": f"{sample}-{start}", **told})
    rows = draw.integers(1, 800, (120, SEQ_LEN)).astype(np.uint16)
    Catalog(root).append("raw/python", rows, seq_len=SEQ_LEN, documents=spans)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=8)
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_workers_and_a_resumption_rearrange_alike(documents: Path, workers: int) -> None:
    def batches(count: int, **more: int) -> list[np.ndarray]:
        loader = MixedLoader(documents, "a", fill_in_the_middle=fill_in(0.5), **more)
        return [batch["input_ids"].numpy() for batch in itertools.islice(loader, count)]

    whole = batches(12)
    ranks = [batches(12, rank=rank, world_size=2, num_workers=workers) for rank in (0, 1)]
    assert all((np.concatenate(parts) == batch).all() for *parts, batch in zip(*ranks, whole, strict=True))
    first = MixedLoader(documents, "a", fill_in_the_middle=fill_in(0.5), num_workers=workers)
    list(itertools.islice(first, 5))
    other = MixedLoader(documents, "a", fill_in_the_middle=fill_in(0.5), num_workers=workers)
    other.load_state_dict(first.state_dict())
    assert (next(iter(other))["input_ids"].numpy() == whole[5]).all()
    with RunReader(documents, "a") as reader:
        plain = [reader.read(step).tokens for step in range(12)]
    changed = [(batch != tokens).any(1) for batch, tokens in zip(whole, plain, strict=True)]
    assert np.mean(changed) == pytest.approx(1 - 0.5**3, abs=0.12)


def test_labels_leave_out_the_starts_and_boundaries_come_where_they_are_asked_for(documents: Path) -> None:
    loader = MixedLoader(documents, "a", learn_document_starts=False)
    batch = next(iter(loader))
    assert batch.keys() == {"input_ids", "labels", "stream"}
    ignored = np.zeros(SEQ_LEN, bool)
    ignored[[9, 20]] = True
    assert ((batch["labels"].numpy() == -100) == ignored).all()
    asked = next(iter(MixedLoader(documents, "a", learn_document_starts=False, boundaries=True, labels=False)))
    assert asked["boundaries"][0, :4].tolist() == [0, 9, 20, SEQ_LEN]
    assert (asked["ignored"].numpy() == ignored).all()


def test_both_trainers_learn_the_same_of_it(code_root: Path) -> None:
    """Ids behind the tokenizer's stand for the three tokens."""
    more = [
        f"objective.fill_in_the_middle.{name}={512 + place}" for place, name in enumerate(("prefix", "suffix", "middle"))
    ]
    more += ["objective.fill_in_the_middle.share=0.5", "objective.learn_document_starts=false"]
    more += ["steps=6", "model.vocab_size=515"]
    words = [word for key in more for word in ("--set", key)]
    for trainer in ("composer", "torch"):
        train(code_root, trainer, *words, "--trainer", trainer)
    train(code_root, "plain", "--set", "steps=6", "--trainer", "torch")
    composer, torch, plain = (
        read_steps(code_root / "checkpoints" / run / "steps.jsonl") for run in ("composer", "torch", "plain")
    )
    assert torch == composer
    assert [line.origin for line in plain] == [line.origin for line in torch]
    assert [line.loss for line in plain] != [line.loss for line in torch]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("prefix='<none>'", "has no token '<none>'; name one that it has, or give an id up to 515"),
        ("prefix=516", "id 516 is not in 0 to 515"),
        ("prefix=0", "0 stands for text or for the end of a document"),
        ("prefix='e'", "'e' stands for text"),
        ("prefix=513", "prefix, suffix, middle must be three tokens"),
        ("share=1.5", "objective.fill_in_the_middle.share must be at least 0 and at most 1"),
    ],
)
def test_tokens_that_are_not_there_are_refused(code_root: Path, asked: str, said: str) -> None:
    given = {"share": "share=0.5", "prefix": "prefix=512", "suffix": "suffix=513", "middle": "middle=514"}
    given[asked.partition("=")[0]] = asked
    words = [word for key in given.values() for word in ("--set", f"objective.fill_in_the_middle.{key}")]
    words += ["--set", "model.vocab_size=516"]
    training = Training(asked_words(code_root, "a", *words))
    assert training.poll(timeout=200) == 2
    assert said in training.output()
    assert not (code_root / "runs").exists()
