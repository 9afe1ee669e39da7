"""Where a build keeps what it has done, so that the same command goes on after it was killed.

Always holds: one process at a time works in it; what lies in it belongs to one recipe over one state of the sources, else it
is removed before the build begins; it is removed when the build is done.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

import xxhash

from streamer.catalog.catalog import Catalog
from streamer.corpus.recipe import Recipe, identity_of
from streamer.corpus.sources.ingest import find_source
from streamer.errors import CorpusError
from streamer.likeness.decontamination import find_files

FORMAT = "corpus-work/1"
PLACE = "corpus/work"


class WorkFolder:
    """`corpus/work` below a root on this machine; for a root in an object store a folder of the cache.

    Raises, on entering: CorpusError when another process works in it, or when it cannot be made.
    """

    def __init__(self, catalog: Catalog, key: str, given: Path | None = None) -> None:
        self.path = given or place_of(catalog)
        self._key, self._catalog = key, catalog
        self.is_resumed = False

    def __enter__(self) -> "WorkFolder":
        self._parents = [folder for folder in self.path.parents if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CorpusError(
                f"working folder {self.path} cannot be made ({error.strerror}); give another with --work"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise CorpusError(
                f"another process builds a corpus in {self.path}; wait for it, or give this one another folder with --work"
            ) from error
        note = self.path / "key"
        self.is_resumed = note.exists() and note.read_text() == self._key
        if not self.is_resumed:
            self._clear()
            note.write_text(self._key)
        return self

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """What `make` returns, kept in a file: a build that goes on does not make it again."""
        path = self.path / name
        if not path.exists():
            aside = path.with_name(f"{name}.part")
            aside.write_bytes(make())
            aside.replace(path)
        return path.read_bytes()

    def remove(self) -> None:
        """Removes the folder, and the folders above it that were made for it and hold nothing else."""
        shutil.rmtree(self.path, ignore_errors=True)
        for folder in self._parents:
            with suppress(OSError):
                folder.rmdir()

    def _clear(self) -> None:
        (self.path / "key").unlink(missing_ok=True)  # first, so that what is half removed belongs to no build
        for path in self.path.iterdir():
            if path.name == "lock":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._lock)


def place_of(catalog: Catalog) -> Path:
    there = catalog.store.local_path(PLACE)
    if there is not None:
        return there
    cache = os.environ.get("PHASEMIX_CACHE") or Path(tempfile.gettempdir()) / f"phasemix-cache-{os.getuid()}"
    return Path(cache) / "corpus" / xxhash.xxh3_64_hexdigest(catalog.store.url)


def key_of(recipe: Recipe, tasks: int, tokenizer_json: str | None, *, without: Path | None) -> str:
    """What the work of a build depends on: versions, recipe, number of tasks, tokenizer, files of sources and benchmarks.

    Args: without, the root, which may lie in a source. Raises: CorpusError for a missing source or benchmark.
    """
    versions = f"{version('phasemix')} {version('kingfisher-secret-scanner')}"
    digest = xxhash.xxh3_128(f"{FORMAT} {versions} {tasks} {tokenizer_json}")
    digest.update(identity_of(recipe))
    for source in recipe.sources:
        note_files(find_source(source), digest, without)
    for benchmark in find_files(recipe.decontamination.sets):
        note_file(benchmark, digest)
    if recipe.opt_out is not None:
        note_files(Path(recipe.opt_out), digest, without)
    return digest.hexdigest()


def note_files(path: Path, digest: "xxhash.xxh3_128", without: Path | None) -> None:
    """Adds name, size and time of change of a file, or of all files below a folder."""
    if not path.is_dir():
        note_file(str(path), digest)
    for place, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if Path(place, name) != without)
        for name in sorted(names):
            note_file(os.path.join(place, name), digest)


def note_file(path: str, digest: "xxhash.xxh3_128") -> None:
    try:
        status = os.lstat(path)
    except OSError:
        return
    digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
