"""All files of a language at once give what one file after the other gives."""

import random
from pathlib import Path

import numpy as np
import pytest
from duplicate_index import DuplicateIndex

from streamer.likeness import clusters
from streamer.likeness.clusters import SignatureFiles, find_duplicates
from streamer.likeness.near_duplicates import USUAL, are_near, digest, sign


def families(seed: int) -> list[str]:
    """Texts of 12 families: each member of one differs from another a little, some members are equal."""
    chance = random.Random(seed)
    texts = []
    for family in range(12):
        lines = [f"value_{family}_{line} = compute({chance.randrange(10**6)}, name_{line})" for line in range(60)]
        for member in range(chance.randrange(1, 12)):
            changed = list(lines)
            for _ in range(chance.randrange(0, 16)):
                changed[chance.randrange(60)] = f"other_{member} = {chance.randrange(10**6)}"
            texts += ["\n".join(changed)] * chance.choice([1, 1, 1, 2])
    chance.shuffle(texts)
    return texts


def spread(texts: list[str], folder: Path) -> SignatureFiles:
    """Their signatures, in three files, one of them empty."""
    signatures = sign(texts, ["python"] * len(texts))
    cut = len(texts) // 3
    for name, rows in (("0", signatures[:cut]), ("1", signatures[:0]), ("2", signatures[cut:])):
        (folder / name).write_bytes(rows.tobytes())
    return SignatureFiles([folder / name for name in "012"], USUAL)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_files_are_dropped_as_one_after_the_other(seed: int, tmp_path: Path) -> None:
    texts = families(seed)
    signatures = spread(texts, tmp_path)
    order = np.random.default_rng(seed).permutation(len(texts))
    exact, near = find_duplicates([digest(text, "python") for text in texts], signatures, order, "python", USUAL, tmp_path)
    index, rows = DuplicateIndex(USUAL), signatures.rows(np.arange(len(texts)))
    places = {int(place): rank for rank, place in enumerate(order)}
    for place in order.tolist():
        reason = index.add(texts[place], "python", rows[place])
        kept_for = max(exact[place], near[place])
        assert (reason is None) == (kept_for < 0)
        assert kept_for < 0 or places[int(kept_for)] < places[place]
    assert (exact >= 0).any()
    assert (near >= 0).any()
    assert not (tmp_path / "bands").exists()


def test_of_many_alike_no_two_are_kept_that_are_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MOST_PAIRED", 2)
    texts = [text for seed in range(5) for text in families(seed)]
    signatures = spread(texts, tmp_path)
    digests = [digest(text, "python") for text in texts]
    exact, near = find_duplicates(digests, signatures, np.arange(len(texts)), "python", USUAL, tmp_path)
    kept = np.flatnonzero((exact < 0) & (near < 0))
    rows = signatures.rows(kept)
    for row in range(len(kept)):
        assert not are_near(rows[row + 1 :], rows[row], USUAL).any()
    for place in np.flatnonzero(near >= 0):
        assert are_near(signatures.rows(np.array([near[place]])), signatures.rows(np.array([place])), USUAL).all()


def test_nothing_and_one_file_have_no_duplicates(tmp_path: Path) -> None:
    for texts in ([], ["x = 1\n"]):
        signatures = spread(texts, tmp_path)
        exact, near = find_duplicates(
            [digest(text, "python") for text in texts], signatures, np.arange(len(texts)), "python", USUAL, tmp_path
        )
        assert exact.tolist() == near.tolist() == [-1] * len(texts)
