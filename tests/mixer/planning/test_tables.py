"""A run draws from the parts that it took in, or not at all."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixer import Mixtures, RunError, RunReader, Runs, Trace
from mixer.journal.journal import Journal
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 4\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def publish(root: Path, offset: int, *samples: int) -> None:
    for count in samples:
        for stream in ("raw/go", "raw/c"):
            rows = np.full((count, 4), offset, np.uint16)
            Catalog(root).append(stream, rows, seq_len=4)


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """Two roots whose streams have the same names and sizes; the first has a run, a fork and a run of its lineage."""
    one, other = tmp_path / "one", tmp_path / "other"
    publish(one, 1, 40)
    publish(other, 2, 40, 30)
    Runs(one).create("a", mixture=Mixtures(one).apply(MIXTURE), seed=1, global_batch=4, segment_batches=4)
    with RunReader(one, "a") as reader:
        for step in range(20):
            reader.read(step)
        publish(one, 1, 30)
        for step in range(20, 40):
            reader.read(step)
    Runs(one).fork("a", "fork", at_step=30)
    Runs(one).create("next", mixture="m@1", seed=2, global_batch=4, parent="a", parent_step=30)
    for folder in ("runs", "mixtures"):
        shutil.copytree(one / folder, other / folder)
    return one, other


@pytest.mark.parametrize("run", ["a", "fork", "next"])
@pytest.mark.parametrize(
    "act",
    [
        lambda root, run: RunReader(root, run),
        lambda root, run: RunReader(root, run, read_only=True),
        lambda root, run: Trace(root, run).batch(35),
        lambda root, run: Trace(root, run).document("d"),
        lambda root, run: Journal(Catalog(root), run).ensure(60),
        lambda root, run: Runs(root).extend(run, 60),
    ],
)
def test_a_run_beside_other_parts_is_refused_by_name(
    roots: tuple[Path, Path], run: str, act: Callable[[Path, str], object]
) -> None:
    with pytest.raises(RunError, match=f"run {run} is bound to other parts of stream raw/.*Restore streams/raw/"):
        act(roots[1], run)
    before = sorted(path for path in (roots[1] / "runs").rglob("*") if path.is_file())
    assert [path.relative_to(roots[1]) for path in before] == sorted(
        path.relative_to(roots[0]) for path in (roots[0] / "runs").rglob("*") if path.is_file()
    )


def test_a_stream_that_is_not_there_is_named(roots: tuple[Path, Path]) -> None:
    shutil.rmtree(roots[0] / "streams/raw/go")
    with pytest.raises(RunError, match="run a draws from a stream that is not there: stream raw/go .*restore it"):
        RunReader(roots[0], "a")


def test_a_stream_whose_second_part_was_made_again_is_refused(roots: tuple[Path, Path]) -> None:
    one, _ = roots
    for stream in ("go", "c"):
        (one / f"streams/raw/{stream}/_log/00000001").unlink()
    publish(one, 3, 30)
    assert Catalog(one).stream("raw/go").samples == 70
    with pytest.raises(RunError, match=r"its ledger names 70 samples in the first 2 entries"):
        RunReader(one, "a")
