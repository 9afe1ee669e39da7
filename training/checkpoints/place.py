"""Where the checkpoints of a run lie: in a folder of this machine, or on an object store with a copy in such a folder.

Always holds:
- a training writes to its folder alone. What is whole there is sent to the store afterwards (`send`): what was logged, then
  the record, then the checkpoint. So a checkpoint on the store is whole, and the record names it before it is there;
- a checkpoint is loaded only from a local copy whose digest the record names (`fetch_if_allowed`);
- nothing is sent to a store whose record names checkpoints that this training does not know of.
"""

from __future__ import annotations

import os
from pathlib import Path

from streamer.errors import StoreError
from streamer.reading.cache import Cache
from streamer.reading.locks import locked
from streamer.store.directory_store import sync
from streamer.store.object_store import ObjectStore, StoredObject
from streamer.store.roots import SCHEMES, refuse_secrets
from training.checkpoints import files, record
from training.errors import CheckpointError

NOUN = "checkpoint folder"
LOGS = ("steps.jsonl", "shares.jsonl", "heldout.jsonl")
WANDB_ID = "wandb_id"  # under which W&B knows the run
REQUEST_RETRIES = 4
BLOCK_BYTES = 32 << 20
MOST_OBJECTS = 100_000


class Place:
    """`folder`: on this machine; `url`: the address that it is a copy of, None when the folder itself is the place."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder, self.url = folder, url
        self._store = None if url is None else ObjectStore(url, noun=NOUN, request_retries=REQUEST_RETRIES)
        self._sent: dict[Path, tuple[int, int]] = {}

    def __str__(self) -> str:
        return self.url or str(self.folder)

    def named(self, name: str) -> str:
        """A file as a person finds it."""
        return f"{self}/{name}"

    def beside(self, run: str) -> Place:
        """The place of another run."""
        return Place(self.folder.parent / run, None if self.url is None else f"{self.url.rpartition('/')[0]}/{run}")

    def steps(self) -> list[int]:
        """After how many steps there are checkpoints, ascending, whether or not they may be loaded. Raises: StoreError."""
        return sorted({step for step, _ in files.saved(self.folder)} | self._stored().keys())

    def known(self) -> dict[int, record.Saved]:
        """What the record says, by step; of a copy what the store's record says goes first. Raises: StoreError."""
        found = record.read(self.folder)
        return found if self._store is None else {**found, **record.parse(self._stored_record())}

    def check(self) -> None:
        """Raises: CheckpointError when nothing can be written there; nothing is written. Of a store `steps` finds out."""
        if self._store is None:
            files.check_folder(self.folder)

    def make(self) -> None:
        """Makes the folder and tries whether folder and store can be written. Raises: CheckpointError, StoreError."""
        with files.probe(self.folder) as probe:
            if self._store is not None:
                self._store.put_file(probe.name, probe)
                self._store.delete(probe.name)

    def fetch_if_allowed(
        self, step: int, named: record.Saved | None, *, trusted: str | None, fetches: bool = True
    ) -> str | None:
        """Has a checkpoint of `steps` in the folder, if it may be loaded.

        Args: named, by the record; trusted, a SHA-256 that a person vouches for; fetches, whether what has to come from the
            store may: else its size alone is looked at.
        Returns: why it must not be loaded; None when it may be. Raises: CheckpointError, StoreError.
        """
        path, stored = files.path_of(self.folder, step), self._stored().get(step)
        called = self.named(path.name)
        if path.exists():
            fault = record.find_fault(path, named, trusted=trusted)
            if fault is None or stored is None:
                return fault
        if stored is None:
            return f"checkpoint {called} was removed a moment ago; try again"
        if trusted is None and named is not None and stored.size_bytes != named.size_bytes:
            return record.of_another_size(called, stored.size_bytes, named)
        return self._fetch(stored, path, named, called, trusted) if fetches else None

    def take_logs(self, source: Place, step: int) -> None:
        """Takes over what was logged before a checkpoint of a run, and the record of this run, from where they were sent.

        A run that goes on from its own checkpoint also keeps its name in W&B; a fork gets another.
        """
        if self._store is None:
            return
        theirs, ours = self._stored_record(), record.lines(self.folder)
        known = record.parse(theirs)
        own = [line for line in ours if not record.parse(line).keys() & known.keys()]
        files.replace(self.folder / record.NAME, b"\n".join([theirs, *own, b""]))
        if source._store is not None and step in source._stored():
            for name in (*LOGS, WANDB_ID) if source.url == self.url else LOGS:
                data = source._store.get(name)
                if data is not None:
                    files.replace(self.folder / name, data)
                    self._sent[self.folder / name] = version(self.folder / name)

    def send(self, *, keep: int, written: int | None = None) -> None:
        """Sends what the folder has and the store has not, then removes all but the newest `keep` checkpoints there.

        Checkpoints there that come later than the folder's could not be loaded. They stay, and do not count.

        Args: written, the step of a checkpoint that was just written. Raises: CheckpointError, StoreError.
        """
        if self._store is None:
            return
        self._refuse_others()
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and not path.name.startswith((".", "step-")) and path.name != record.NAME:
                self._send_changed(path)
        newest, stored = files.latest(self.folder), self._stored()
        if newest is not None and (newest[0] == written or newest[0] not in stored):
            self._store.put_file(record.NAME, self.folder / record.NAME)
            self._store.put_file(newest[1].name, newest[1])
            stored = self._stored()
        for step in [step for step in sorted(stored) if newest is not None and step <= newest[0]][:-keep]:
            self._store.delete(stored[step].key)

    def _stored(self) -> dict[int, StoredObject]:
        if self._store is None:
            return {}
        found = self._store.list_objects("", MOST_OBJECTS)
        return {int(match[1]): one for one in found if (match := files.NAME.fullmatch(one.key))}

    def _stored_record(self) -> bytes:
        assert self._store is not None
        return self._store.get(record.NAME) or b""

    def _refuse_others(self) -> None:
        """Raises: CheckpointError when the store's record has lines that the folder's lacks."""
        if set(self._stored_record().split(b"\n")) - {b"", *record.lines(self.folder)}:
            raise CheckpointError(
                f"{self.named(record.NAME)} names checkpoints that this training did not write, so another training saves "
                f"to {self}, and nothing was sent there. End one of the two, or give one another --save-folder"
            )

    def _send_changed(self, path: Path) -> None:
        assert self._store is not None
        found = version(path)
        if self._sent.get(path) != found:
            self._store.put_file(path.name, path)
            self._sent[path] = found

    def _fetch(
        self, stored: StoredObject, path: Path, named: record.Saved | None, called: str, trusted: str | None
    ) -> str | None:
        """Fetches a checkpoint aside and gives it its name when it may be loaded; one process of a machine at a time.

        Earlier checkpoints of the run that the folder has are then removed.
        """
        assert self._store is not None
        aside = self.folder / ".fetched"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / ".lock"):
                if path.exists() and record.find_fault(path, named, trusted=trusted) is None:
                    return None  # another process has fetched it
                try:
                    with aside.open("wb") as file:
                        while file.tell() < stored.size_bytes:
                            block = self._store.read_range(stored, file.tell(), BLOCK_BYTES)
                            if block is None:
                                raise StoreError(f"{called} was replaced while it was read; try again")
                            file.write(block)
                    fault = record.find_fault(aside, named, trusted=trusted, called=called)
                    if fault is None:
                        sync(aside)
                        aside.replace(path)
                        self._remove_earlier(path)
                    return fault
                finally:
                    aside.unlink(missing_ok=True)
        except OSError as error:
            raise files.unwritable(self.folder, error) from error

    def _remove_earlier(self, fetched: Path) -> None:
        """Removes the checkpoints that come before the one that was fetched, as far as the record names them."""
        known = self.known()
        for step, path in files.saved(self.folder):
            if path == fetched:
                break
            if step in known:
                path.unlink(missing_ok=True)


def version(path: Path) -> tuple[int, int]:
    """What tells a file from what it was before."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def place_at(address: str) -> Place:
    """The place of an address, which is a folder of this machine or a URL. Raises: CheckpointError, StoreError."""
    scheme, slashes, rest = address.partition("://")
    if not slashes:
        return Place(Path(address).expanduser())
    if not address.startswith(SCHEMES):
        raise CheckpointError(
            f"{address} has an unknown scheme, {scheme}://; name a local folder, or one of {', '.join(SCHEMES)}"
        )
    refuse_secrets(address, NOUN)
    names = rest.rstrip("/").split("/")
    if len(names) < 2 or {"", ".", ".."} & set(names):
        raise CheckpointError(f"{address} is not a folder of a bucket; write it as {scheme}://bucket/folder")
    return Place(Cache().folder / "checkpoints" / scheme / Path(*names), address.rstrip("/"))


def default_place(root: str, run: str) -> Place:
    """`ROOT/checkpoints/RUN`. Raises: CheckpointError, StoreError."""
    return place_at(os.path.join(root, "checkpoints", run))
