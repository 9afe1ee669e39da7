"""Where a build keeps what it has done, so that the same command goes on after it was killed.

Always holds: one process at a time works in it, with its tasks; what lies in it belongs to one recipe over one state of the
sources, else it is removed before the build begins; it is removed when the build is done.
"""

import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

import msgspec
import xxhash

from streamer.catalog.catalog import Catalog
from streamer.corpus.progress import GO_ON
from streamer.corpus.recipe import Recipe, identity_of
from streamer.corpus.slurm import end_left
from streamer.corpus.sources.ingest import find_source
from streamer.corpus.sources.objects import is_address, list_objects, listing_place
from streamer.corpus.spool import write_through
from streamer.errors import CorpusError
from streamer.likeness.decontamination import find_files

FORMAT = "corpus-work/2"
PLACE = "corpus/work"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
PACKAGES = (
    "phasemix",
    "datatrove",
    "gigatoken",
    "kingfisher-secret-scanner",
    "rensa",
    "tokenizers",
    "tree-sitter-language-pack",
)


class WorkFolder:
    """`corpus/work` below a root on this machine; for a root in an object store a folder of the cache.

    Args: given, a folder to make one in instead; what else lies there is let alone; place, another key below the root, for
        other work than a build, and `does`, what is said of a process at it.
    Raises, on entering: CorpusError when another process of this machine is at the same work, or when a folder cannot be
        made.
    """

    def __init__(
        self, catalog: Catalog, given: Path | None = None, *, place: str = PLACE, does: str = "builds a corpus into"
    ) -> None:
        at = place_of(catalog, place)
        self.path = given.absolute() / f"phasemix-{place.replace('/', '-')}" if given else at
        self._lock_path = at.with_suffix(".lock")  # of the root, wherever its work lies
        self._catalog, self._does = catalog, does

    def __enter__(self) -> "WorkFolder":
        self._made = [folder for place in (self.path, self._lock_path) for folder in place.parents if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CorpusError(
                f"working folder {self.path} cannot be made ({error.strerror}); give another with --work"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._lock).st_ino != self._lock_path.stat().st_ino:
                raise FileNotFoundError("a build that ended has just removed the lock")
        except OSError as error:
            os.close(self._lock)
            raise CorpusError(
                f"another process {self._does} {self._catalog.store.url}; wait for it, or use another root"
            ) from error
        try:
            for logs in sorted(self.path.glob("logs/*")):
                end_left(logs)
        except CorpusError:
            os.close(self._lock)
            raise
        return self

    def resume(self, key: str) -> bool:
        """Whether what lies here belongs to that key; what belongs to another is removed."""
        note = self.path / "key"
        if note.exists() and note.read_text() == key:
            return True
        self._clear()
        note.write_text(key)
        return False

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """What `make` returns, kept in a file: a build that goes on does not make it again."""
        path = self.path / name
        if not path.exists():
            aside = path.with_name(f"{name}.part")
            write_through(aside, make())
            aside.replace(path)
        return path.read_bytes()

    def keep_listings(self, recipe: Recipe, without: Sequence[Path | str]) -> None:
        """Lists the sources in object stores once for all tasks. Raises: CorpusError."""
        for source in filter(is_address, recipe.sources):
            name = listing_place(self.path, source).name
            self.once(name, lambda source=source: msgspec.msgpack.encode(list_objects(source, without)))  # type: ignore[misc]

    def remove(self) -> None:
        """Removes the folder, and the folders above it that were made for it and hold nothing else."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock_path.unlink(missing_ok=True)
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()

    def _clear(self) -> None:
        (self.path / "key").unlink(missing_ok=True)  # first, so that what is half removed belongs to no build
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._lock)


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Says what the system refused as a CorpusError."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise CorpusError(f"the disk of {folder} is full; free space, then {GO_ON}") from error
        raise CorpusError(f"{error.filename or folder}: {error.strerror or error}; mend it, then {GO_ON}") from error


def place_of(catalog: Catalog, place: str = PLACE) -> Path:
    there = catalog.store.local_path(place)
    if there is not None:
        return there
    cache = os.environ.get("PHASEMIX_CACHE") or Path(tempfile.gettempdir()) / f"phasemix-cache-{os.getuid()}"
    return Path(cache) / place.partition("/")[0] / xxhash.xxh3_64_hexdigest(catalog.store.url)


def key_of(recipe: Recipe, tasks: int, tokenizer_json: str | None, *, without: Sequence[Path | str]) -> str:
    """What the work of a build depends on: versions, recipe, number of tasks, tokenizer, and the files that are read.

    Those are sources, benchmarks, positives, a model of the annotator's and what is opted out. Objects of `contents` are
    named by what they hold, and are not looked at.

    Args: without, folders and addresses that may lie in a source, such as the root. Raises: CorpusError for a missing source
        or benchmark.
    """
    versions = " ".join(f"{name} {version(name)}" for name in PACKAGES)
    digest = xxhash.xxh3_128(f"{FORMAT} {versions} {tasks} {tokenizer_json}")
    digest.update(identity_of(recipe))
    for source in recipe.sources:
        if is_address(source):
            digest.update(msgspec.json.encode((source.path, list_objects(source, without))))
        else:
            note_files(find_source(source), digest, without)
    for benchmark in find_files(recipe.decontamination.sets):
        note_file(benchmark, digest)
    for pattern in recipe.positives:
        for path in sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True)):
            note_file(path, digest)
    if Path(recipe.annotator_model).is_dir():
        note_files(Path(recipe.annotator_model), digest, without)
    if recipe.opt_out is not None:
        note_files(Path(recipe.opt_out), digest, without)
    return digest.hexdigest()


def note_files(path: Path, digest: "xxhash.xxh3_128", without: Sequence[Path | str]) -> None:
    """Adds name, size and time of change of a file, or of all files below a folder."""
    left_out = {folder.resolve() for folder in without if isinstance(folder, Path)}
    if not path.is_dir():
        note_file(str(path), digest)
    for place, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if Path(place, name).resolve() not in left_out)
        for name in sorted(names):
            note_file(os.path.join(place, name), digest)


def note_file(path: str, digest: "xxhash.xxh3_128") -> None:
    try:
        status = os.lstat(path)
    except OSError:
        return
    digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
