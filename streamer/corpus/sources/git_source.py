"""Files of a git repository at a revision, bare or not, by git itself.

Always holds: nothing of the working tree is read and nothing is checked out, written or fetched; links and submodules are
counted, never followed; no more than the limit of one file is read of it.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from streamer.corpus.recipe import UNKNOWN, Source
from streamer.corpus.sources.raw_file import RawFile, Share, clean_name, is_wanted, take
from streamer.corpus.sources.stated_licence import stated_licence
from streamer.documents.text import DropReason
from streamer.errors import CorpusError

BRANCH = "HEAD"
SKIPPED_BYTES = 1 << 20
QUIET = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C",
}  # fmt: skip
REGULAR = (b"100644", b"100755", b"100664")


class Blob(msgspec.Struct, frozen=True):
    """An entry of a tree: its mode, its object, and its path inside the repository."""

    mode: bytes
    name: bytes
    path: str


def is_git(path: Path) -> bool:
    """Whether a folder is a bare repository. One with a working tree is read as a folder, unless a revision is named."""
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def read_git(path: Path, source: Source, share: Share) -> Iterator[RawFile]:
    """The share's wanted files at the source's revision, by path. Raises: CorpusError where git is missing or refuses."""
    name = source.repository or clean_name(path.resolve().name.removesuffix(".git"))
    commit = commit_of(path, source.revision or BRANCH)
    licence = source.license
    if licence == UNKNOWN:
        licence = stated_licence(lambda file: shown(path, commit, file)) or UNKNOWN
    lost = RawFile(path="", repository=name, license=licence)
    listing = run(path, "ls-tree", "-r", "-z", "--full-tree", commit)
    wanted = [blob for blob in map(parse, listing.split(b"\0")[:-1]) if is_wanted(blob.path, source)]
    mine = ((place, blob) for place, blob in enumerate(wanted) if share.takes(place))
    goes_on = False
    while not goes_on:  # a git that met a damaged object has ended, and another one reads what is left
        goes_on = True
        with start(path, "cat-file", "--batch", said=subprocess.DEVNULL) as git:
            assert git.stdin is not None
            assert git.stdout is not None
            for place, blob in mine:
                file = msgspec.structs.replace(lost, path=blob.path, order=place)
                if blob.mode not in REGULAR:
                    file.fault = DropReason.NOT_A_FILE
                else:
                    git.stdin.write(blob.name + b"\n")
                    git.stdin.flush()
                    goes_on = read_blob(git.stdout, file)
                yield file
                if not goes_on:
                    break


def read_blob(answers: IO[bytes], file: RawFile) -> bool:
    """Takes one answer of `cat-file --batch`, all of it. Returns whether there will be more of them."""
    line = answers.readline()
    head = line.split()
    if len(head) != 3 or head[1] != b"blob":
        file.fault = DropReason.UNREADABLE
        return bool(line)
    size = left = int(head[2])

    def read(count: int) -> bytes:
        nonlocal left
        found = answers.read(min(count, left))
        left -= len(found)
        return found

    take(file, size, read)
    left += 1  # the line's end behind the bytes
    while left and (skipped := answers.read(min(SKIPPED_BYTES, left))):
        left -= len(skipped)
    if left:
        file.fault, file.data = DropReason.UNREADABLE, b""
    return not left


def shown(path: Path, commit: str, file: str) -> bytes | None:
    """A file at the top of a commit; None where there is none."""
    try:
        return run(path, "cat-file", "blob", f"{commit}:{file}")
    except CorpusError:
        return None


def commit_of(path: Path, revision: str) -> str:
    """The commit of a revision. Raises: CorpusError for one that there is not."""
    if revision.startswith("-"):
        raise CorpusError(f"source {path}: {revision} cannot be a revision; name a branch, a tag or a commit")
    return run(path, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", revision=revision).decode().strip()


def parse(line: bytes) -> Blob:
    head, _, path = line.partition(b"\t")
    mode, _, name = head.split(b" ")[:3]
    return Blob(mode, name, clean_name(path.decode("utf-8", "surrogateescape")))


def run(path: Path, *words: str, revision: str = "") -> bytes:
    with start(path, *words) as git:
        out, said = git.communicate()
    if git.returncode:
        reason = " ".join(said.decode("utf-8", "replace").split())[:300] or f"there is no revision {revision}"
        raise CorpusError(f"source {path} cannot be read by git: {reason}; correct its path or its revision")
    return out


def start(path: Path, *words: str, said: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    """A git that reads a repository, whoever owns it."""
    argv = ["git", "-c", "safe.directory=*", "-c", "protocol.allow=never", "-C", str(path), *words]
    try:
        return subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env={**os.environ, **QUIET}
        )
    except FileNotFoundError as error:
        raise CorpusError(f"source {path} is a git repository, and git is not installed; install it") from error
