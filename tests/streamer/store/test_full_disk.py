"""An append that fails for want of space leaves the log as it was, and nothing that takes up space."""

import errno
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from streamer import Catalog
from streamer.catalog import parts
from streamer.errors import PhasemixError, StoreError, UnknownOutcomeError
from streamer.store import directory_store
from streamer.store.directory_store import DirectoryStore
from streamer.store.log import Log

ROWS = np.zeros((2000, 4), np.uint16)


def state(root: Path) -> dict[str, bytes]:
    """Every file but the probes, which are written at a process's first append."""
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.parent.name != "probes"}


def failure_of(catalog: Catalog) -> PhasemixError | None:
    """Appends; what was raised, if anything was."""
    try:
        catalog.append("raw/python", ROWS, seq_len=4, documents=[])
    except PhasemixError as error:
        return error
    return None


def test_a_disk_that_is_full_at_any_moment_leaves_the_streams_as_they_were(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "FREE_MARGIN_BYTES", -(1 << 30))  # the check before the append sees nothing
    root, ballast = small_disk / "root", small_disk / "ballast"
    Catalog(root).append("raw/python", ROWS, seq_len=4)
    refused = 0
    for free_kb in range(0, 64, 2):
        ballast.write_bytes(b"")
        disk = os.statvfs(small_disk)
        ballast.write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - (free_kb << 10))))
        catalog, before = Catalog(root), state(root)
        failure = failure_of(catalog)
        if failure is not None:
            assert "No space left on device" in str(failure)
            assert not isinstance(failure, UnknownOutcomeError)
            assert state(root) == before
            refused += 1
        assert catalog.garbage("raw/python") == []
        for part in Catalog(root).stream("raw/python").parts:
            for shard in part.shards:
                parts.check_hash(root / part.folder / shard.name, shard)
    assert 5 < refused < 32
    ballast.unlink()
    Catalog(root).append("raw/python", ROWS, seq_len=4)


@pytest.mark.parametrize("limit_bytes", range(0, 1000, 90))
def test_a_limit_of_a_files_size_leaves_the_log_as_it_was(root: Path, limit_bytes: int) -> None:
    log = Log(DirectoryStore(root), "runs/a/ledger")
    log.append(lambda _: {"n": 0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
        with pytest.raises(StoreError, match="File too large"):
            log.append(lambda _: {"n": 1, "text": "x" * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(Log(DirectoryStore(root), "runs/a/ledger").read()) == [{"n": 0}]
    assert log.append(lambda _: {"n": 1}) == (1, {"n": 1})


@pytest.mark.parametrize(
    ("number", "at_link", "is_unknown"),
    [(errno.ENOSPC, True, False), (errno.EIO, True, True), (errno.ESTALE, True, True), (errno.EIO, False, True)],
)
def test_an_error_after_which_the_name_may_be_there_is_told_from_one_that_refused_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, at_link: bool, is_unknown: bool
) -> None:
    store = DirectoryStore(root)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((os, "link") if at_link else (directory_store, "sync")), fail)
    with pytest.raises(StoreError) as error:
        store.put_if_absent("a/b", b"x")
    assert isinstance(error.value, UnknownOutcomeError) == is_unknown
    assert [path.name for path in (root / "a").iterdir()] == ([] if at_link else ["b"])
