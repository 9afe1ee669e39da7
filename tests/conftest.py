"""Fixtures that several rooms need. Nothing here reaches out: the hub variables say offline."""

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from streamer import Catalog
from streamer.store.directory_store import DirectoryStore
from streamer.store.object_store import ObjectStore
from streamer.store.store import MemoryStore, Store

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")

# Many processes load the same large libraries. Without their bytecode on the disk each compiles them again, for 10 to 20 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores: two threads each would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("phasemix", deadline=None)  # no test depends on how fast a machine is
hypothesis.settings.load_profile("phasemix")

SEQ_LEN = 8
SHARED_MEMORY, LEAST_FREE_BYTES = "/dev/shm", 8 << 30
LONGEST_FIRST = (
    "end_to_end/test_demo.py",
    "documents/test_blocks.py",
    "generators/engines/test_vllm.py",
    "streamer/corpus/test_restarts.py",
    "training/trainers/test_train.py",
    "training/trainers/test_checkpoints.py",
    "training/trainers/test_on_a_store.py",
    "mixer/planning/test_histories.py",
    "training/trainers/test_interrupted.py",
    "streamer/corpus/test_build.py",
    "generators/test_pool.py",
    "faults/test_store_faults.py",
    "faults/test_endings.py",
    "faults/test_damage.py",
    "deploy/quickstart/test_quickstart.py",
    "training/composer/test_redacted.py",
    "examples/test_examples.py",
    "browser/test_pages.py",
    "deploy/local/test_ports.py",
    "mixer/runs/test_forks.py",
)


def has_room_in_memory() -> bool:
    """Whether temporary files may lie in memory: programs may run there, and there is much room."""
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return False
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize >= LEAST_FREE_BYTES


def pytest_configure(config: pytest.Config) -> None:
    """Temporary files lie in memory unless TMPDIR is set: tests make tens of thousands of folders, and sync what they write.

    They are removed when all is done. To look at them afterwards, set TMPDIR.
    """
    if "TMPDIR" in os.environ or not has_room_in_memory():
        return
    folder = tempfile.mkdtemp(prefix="pm", dir=SHARED_MEMORY)
    os.environ["TMPDIR"] = tempfile.tempdir = folder  # workers of xdist inherit it
    # after multiprocessing has removed its own folder in it, at -100
    Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-200)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the longest files, so that the last worker does not run on alone with one of them."""
    folder = Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Shards of object stores and the ports of roots are kept where pytest cleans up, not in the user's own folders."""
    os.environ["PHASEMIX_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An absent root."""
    return tmp_path / "catalog"


@pytest.fixture
def fill(root: Path) -> Callable[..., Catalog]:
    """Appends parts: fill("raw/python", 30, 20) gives one of 30 and one of 20 samples; ids tell rows apart."""

    def append(name: str, *samples: int) -> Catalog:
        catalog = Catalog(root)
        for count in samples:
            rows = (np.arange(count * SEQ_LEN) % 60000).reshape(count, SEQ_LEN).astype(np.uint16)
            catalog.append(name, rows, seq_len=SEQ_LEN)
        return catalog

    return append


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.getuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", place], capture_output=True).returncode
    ):
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def abandoned_memory() -> set[str]:
    """Names of shared memory that no living process maps: what other programs use right now is not among them."""
    used: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # a process that ended meanwhile, or another user's
            used.update(re.findall(r" /dev/shm/(\S+)$", maps.read_text(errors="replace"), re.MULTILINE))
    return {entry.name for entry in os.scandir("/dev/shm") if entry.is_file(follow_symlinks=False)} - used


@pytest.fixture
def no_memory_is_left() -> Iterator[None]:
    """Processes that the test started leave no shared memory behind; what ends by itself has ten seconds to do so."""
    before = abandoned_memory()
    yield
    deadline = time.monotonic() + 10
    while (left := abandoned_memory() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_store(s3_endpoint: str) -> Callable[..., ObjectStore]:
    """s3_store(endpoint, **client_options) opens one and the same new bucket, by default straight."""
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    bucket = f"bucket{secrets.token_hex(6)}"
    boto3.client("s3", endpoint_url=s3_endpoint, **keys).create_bucket(Bucket=bucket)

    def make(endpoint: str = s3_endpoint, *, retry_s: float = 20.0, **client: Any) -> ObjectStore:
        config = {"endpoint": endpoint, "access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}
        return ObjectStore(
            f"s3://{bucket}/root",
            config=config,
            client_options={"allow_http": True, **client},
            retry_s=retry_s,
        )

    return make


@pytest.fixture(params=["memory", "directory", "object_store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """One of each backend."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "root")
    make_store: Callable[[], Store] = request.getfixturevalue("s3_store")
    return make_store()


@pytest.fixture
def count_calls() -> Callable[..., int]:
    """count_calls(function, *arguments): the calls that Python makes meanwhile, of C functions too: work without a clock."""

    def count(function: Callable[..., object], *arguments: object) -> int:
        calls = 0

        def note(*_: object) -> None:
            nonlocal calls
            calls += 1

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            function(*arguments)
        finally:
            sys.setprofile(before)
        return calls

    return count
