"""Objects of an s3, gs or azure prefix, through obstore; credentials and settings come from the environment.

Always holds:
- a call returns, or raises StoreError with the store's own reason; what may pass by itself is tried again for `RETRY_S`;
- a put of which it is not known whether it was done is never simply sent again: the key is read first, and what it holds
  then is the answer. When that cannot be learned in time the error is an UnknownOutcomeError.

obstore itself does not retry, because it would not read before it puts again, and because Control-C waits until it returns.
Who puts large files over what is there may let it (`request_retries`): then one part of a file is sent again, not all.

obstore has threads, which a forked child does not inherit: there every call would wait for ever. A child that was forked
after its parent used an object store is therefore refused.
"""

import os
import time
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from streamer import background
from streamer.errors import StoreError, UnknownOutcomeError
from streamer.store.backoff import Backoff
from streamer.store.environment import connection_settings
from streamer.store.faults import Fault, clean, find_fault, is_absent
from streamer.store.identity import OpenedRoot
from streamer.store.store import Numbers, is_number

RETRY_S = 60.0
FIRST_RETRY_S = 5.0  # of a store that has never answered this process: its address may be wrong
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
CONNECTION = {
    "connect_timeout": "5s",
    "read_timeout": "20s",  # of silence; obstore's own default waits for ever within `timeout`
    "timeout": "10m",  # of a whole request: a shard over a slow line
}
CHUNK_BYTES = 4 << 20
LEAST_PART_BYTES, MOST_PARTS = 5 << 20, 9_000  # of a file that is put in parts: S3 takes 10,000
LISTED = 1000  # keys that one answer of S3 and GCS holds; Azure gives 5,000
FRESH_S = 1.0  # how long the root's identity is taken to be as it was
BEHIND_THE_END = "status code: 416"  # of a range of an object that is now shorter
T = TypeVar("T")

_used_by: list[int] = []  # the process in which obstore has threads


class StoredObject(NamedTuple):
    """An object as a store lists it. `mark`: its ETag, or when it was written where it has none."""

    key: str
    size_bytes: int
    mark: str


def stored(item: Any) -> StoredObject:
    mark = (item.get("e_tag") or "").strip('"') or item["last_modified"].isoformat()  # Azure lists ETags without the quotes
    return StoredObject(item["path"], item["size"], mark)


Stored = list[StoredObject]  # in the class `list` is a method


class ObjectStore:
    """Objects under a prefix. `config` and `client_options` are obstore's; pickles without connections.

    `noun`: what errors call it; `request_retries`: how often obstore repeats a single request that failed.
    """

    def __init__(
        self,
        url: str,
        *,
        config: dict[str, Any] | None = None,
        client_options: dict[str, Any] | None = None,
        retry_s: float = RETRY_S,
        noun: str = "root",
        request_retries: int = 0,
    ) -> None:
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        self.url, self._retry_s, self._has_answered = url.rstrip("/"), retry_s, False
        self._noun = noun
        self._arguments = {
            "config": config,
            "client_options": client_options,
            "retry_s": retry_s,
            "noun": noun,
            "request_retries": request_retries,
        }
        settings: dict[str, Any] = {
            "config": config or {},
            "client_options": {**CONNECTION, **connection_settings(self.url, os.environ), **(client_options or {})},
            "retry_config": {"max_retries": request_retries},
        }
        try:
            self._store: Any = from_url(self.url, **settings)
        except (BaseError, ValueError) as error:
            raise StoreError(
                f"{noun} {url} cannot be opened: {clean(str(error).partition('Debug source:')[0])}; write it as "
                "scheme://bucket/prefix and give what the platform needs (account, region, credentials) in its environment "
                "variables"
            ) from error
        self.opened = OpenedRoot(
            self.url,
            read=self.get,
            put=self.put_if_absent,
            delete=self.delete,
            sign=lambda: int(time.monotonic() / FRESH_S),
            is_empty=lambda: False,
        )

    def __getstate__(self) -> tuple[str, dict[str, Any], tuple[Any, ...]]:
        return self.url, self._arguments, self.opened.state()

    def __setstate__(self, state: tuple[str, dict[str, Any], tuple[Any, ...]]) -> None:
        self.__init__(state[0], **state[1])  # type: ignore[misc]
        self.opened.restore(state[2])

    def get(self, key: str) -> bytes | None:
        return self._call("read", key, lambda: self._get(key))

    def fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        return self._call("read", key, lambda: self._fetch(key, path, size_bytes))

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        may_be_there = False

        def put() -> bytes:
            nonlocal may_be_there
            if may_be_there and (found := self._get(key)) is not None:
                return found
            before, may_be_there = may_be_there, True
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError as error:
                if (found := self._get(key)) is None:
                    raise Passing from error
                return found
            except (BaseError, FileNotFoundError) as error:
                may_be_there = before or not find_fault(self.url, str(error)).refused
                raise
            return data

        try:
            return self._call("written", key, put)
        except UnknownOutcomeError:
            raise
        except StoreError as error:
            if may_be_there:
                raise UnknownOutcomeError(
                    f"{error}. It is not known whether it was written: look before trying again"
                ) from error
            raise

    def put_file(self, key: str, path: Path) -> None:
        import obstore

        chunk_bytes = max(LEAST_PART_BYTES, -(-path.stat().st_size // MOST_PARTS))
        self._call("written", key, lambda: obstore.put(self._store, key, path, chunk_size=chunk_bytes))

    def delete(self, key: str) -> None:
        import obstore

        def delete() -> None:
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError as error:  # some platforms say so
                if not is_absent(str(error)):
                    raise

        self._call("deleted", key, delete)

    def list(self, prefix: str) -> list[str]:
        import obstore

        return self._call(
            "listed", prefix, lambda: sorted(item["path"] for batch in obstore.list(self._store, prefix) for item in batch)
        )

    def list_objects(self, prefix: str, most: int) -> Stored:
        """The objects below a prefix, in any order, up to so many. Raises: StoreError."""
        import obstore

        def list_some() -> Stored:
            batches = obstore.list(self._store, prefix or None)
            return [stored(item) for item in islice(chain.from_iterable(batches), most)]

        return self._call("listed", prefix, list_some)

    def find_object(self, key: str) -> StoredObject | None:
        """The object of a key, without its bytes. Raises: StoreError."""
        import obstore

        def head() -> StoredObject | None:
            try:
                return stored(obstore.head(self._store, key))
            except FileNotFoundError as error:
                if is_absent(str(error)):
                    return None
                raise

        return self._call("read", key, head)

    def read_range(self, found: StoredObject, start: int, size_bytes: int) -> bytes | None:
        """So many bytes of an object, at least one; None when it is not as it was found, or is gone. Raises: StoreError."""
        import obstore
        from obstore.exceptions import BaseError

        def read() -> bytes | None:
            try:
                answer = obstore.get(self._store, found.key, options={"range": (start, start + size_bytes)})
                return bytes(answer.bytes()) if stored(answer.meta) == found else None
            except FileNotFoundError as error:
                if is_absent(str(error)):
                    return None
                raise
            except BaseError as error:
                if BEHIND_THE_END in str(error):
                    return None
                raise

        return self._call("read", found.key, read)

    def numbers(self, folder: str, after: int) -> Numbers:
        return self._call("listed", folder, lambda: self._numbers(folder, after))

    def local_path(self, key: str) -> Path | None:
        return None

    def _call(self, verb: str, key: str, call: Callable[[], T]) -> T:
        """Calls until it succeeds, the time is up or no attempt can help. Raises: StoreError."""
        from obstore.exceptions import BaseError

        refuse_fork(self.url)
        total_s = self._retry_s if self._has_answered else min(self._retry_s, FIRST_RETRY_S)
        backoff = Backoff(first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S, total_s=total_s, sleep=background.pause)
        while True:
            try:
                found = call()
            except (BaseError, FileNotFoundError, Passing) as error:
                if isinstance(error, FileNotFoundError) and error.filename is not None:
                    raise  # a file of this machine
                fault = error.fault if isinstance(error, Passing) else find_fault(self.url, str(error))
                if not fault.passes or not backoff.wait():
                    what = f"{self._noun} {self.url}" if fault.refused else f"{self.url}/{key}"
                    raise StoreError(f"{what} cannot be {verb}: {fault.reason}; {fault.remedy}") from error
            else:
                self._has_answered = True
                return found

    def _get(self, key: str) -> bytes | None:
        import obstore

        try:
            return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError as error:
            if is_absent(str(error)):
                return None
            raise

    def _fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        import obstore

        try:
            found = obstore.get(self._store, key)
        except FileNotFoundError as error:
            if is_absent(str(error)):
                return None
            raise
        if found.meta["size"] == size_bytes:
            with path.open("r+b") as file:
                for block in found.stream(min_chunk_size=CHUNK_BYTES):
                    background.check()
                    file.write(block)
        return int(found.meta["size"])

    def _numbers(self, folder: str, after: int) -> Numbers:
        """From one answer of the platform, which holds up to `LISTED` keys."""
        import obstore

        offset = f"{folder}/{after:08d}" if after >= 0 else None
        page = next(iter(obstore.list(self._store, folder, offset=offset, chunk_size=LISTED)), [])
        names = (item["path"].rpartition("/")[2] for item in page)
        return sorted(int(name) for name in names if is_number(name)), len(page) >= LISTED


class Passing(Exception):
    """Two puts of one key met, and neither has been done yet."""

    fault = Fault("another writer is putting it and has not finished", "try again later", passes=True, refused=False)


def refuse_fork(url: str) -> None:
    """Raises: StoreError in a process that was forked from one that had used an object store."""
    if not _used_by:
        _used_by.append(os.getpid())
    if _used_by[0] != os.getpid():
        raise StoreError(
            f"{url} cannot be used in this process: it was forked from one that had used an object store, whose client "
            'does not survive a fork. Start workers with "forkserver" or "spawn": multiprocessing_context="forkserver" of a '
            "DataLoader, or multiprocessing.get_context"
        )
