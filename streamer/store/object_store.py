"""Objects of an s3, gs or azure prefix, through obstore; credentials come from the environment.

Always holds: a call returns or raises StoreError; a server that answers 500, stalls or resets is tried again for about
`RETRY_S` seconds. A process that was forked after its parent had used obstore works too: obstore's threads are not in it,
so that its calls go through processes of their own (store_process.py).
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from streamer import background
from streamer.errors import StoreError
from streamer.store.store import Numbers, is_number

RETRY_S = 60
CLIENT_OPTIONS = {
    "connect_timeout": "5s",
    "read_timeout": "20s",  # of silence; obstore's own default waits for ever within `timeout`
    "timeout": "10m",  # of a whole request: a shard over a slow line
}
RETRY = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=RETRY_S),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
CHUNK_BYTES = 4 << 20
LISTED = 1000  # keys that one answer of S3 and GCS holds; Azure gives 5,000

_used_by: list[int] = []  # the process in which obstore has threads


def runs_here() -> bool:
    """Whether obstore can run in this process, or its threads were left behind in a parent."""
    if not _used_by:
        _used_by.append(os.getpid())
    return _used_by[0] == os.getpid()


class ObjectStore:
    """Objects under a prefix. `options` are those of obstore's `from_url`; pickles without connections."""

    def __init__(self, url: str, **options: Any) -> None:
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        self.url, self.options = url.rstrip("/"), options
        merged = dict(options)
        merged["client_options"] = {**CLIENT_OPTIONS, **options.get("client_options", {})}
        merged["retry_config"] = {**RETRY, **options.get("retry_config", {})}
        try:
            self._store: Any = from_url(self.url, **merged)
        except (BaseError, ValueError) as error:
            raise StoreError(
                f"root {url} cannot be opened: {type(error).__name__}; write it as scheme://bucket/prefix and give what the "
                "platform needs (account, region, credentials) in its environment variables"
            ) from error

    def __getstate__(self) -> tuple[str, dict[str, Any]]:
        return self.url, self.options

    def __setstate__(self, state: tuple[str, dict[str, Any]]) -> None:
        self.__init__(state[0], **state[1])  # type: ignore[misc]

    def get(self, key: str) -> bytes | None:
        return self._call("get", key)  # type: ignore[no-any-return]

    def fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        return self._call("fetch", key, path, size_bytes)  # type: ignore[no-any-return]

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        return self._call("put_if_absent", key, data)  # type: ignore[no-any-return]

    def put_file(self, key: str, path: Path) -> None:
        self._call("put_file", key, path)

    def delete(self, key: str) -> None:
        self._call("delete", key)

    def list(self, prefix: str) -> list[str]:
        return self._call("list", prefix)  # type: ignore[no-any-return]

    def numbers(self, folder: str, after: int) -> Numbers:
        return self._call("numbers", folder, after)  # type: ignore[no-any-return]

    def local_path(self, key: str) -> Path | None:
        return None

    def _call(self, operation: str, key: str, *rest: Any) -> Any:
        from obstore.exceptions import BaseError

        try:
            if runs_here():
                return OPERATIONS[operation](self._store, key, *rest)
            from streamer.store.store_process import call

            return call(self, operation, key, *rest)
        except BaseError as error:
            verb = "read" if operation in ("get", "fetch", "list", "numbers") else "written"
            raise StoreError(
                f"{self.url}/{key} cannot be {verb}: {type(error).__name__}; is the address reachable?"
            ) from error


def _get(store: Any, key: str) -> bytes | None:
    import obstore

    try:
        return bytes(obstore.get(store, key).bytes())
    except FileNotFoundError:
        return None


def _fetch(store: Any, key: str, path: Path, size_bytes: int) -> int | None:
    import obstore

    try:
        found = obstore.get(store, key)
    except FileNotFoundError:
        return None
    if found.meta["size"] == size_bytes:
        with path.open("r+b") as file:
            for block in found.stream(min_chunk_size=CHUNK_BYTES):
                background.check()
                file.write(block)
    return int(found.meta["size"])


def _put_if_absent(store: Any, key: str, data: bytes) -> bytes:
    import obstore
    from obstore.exceptions import AlreadyExistsError

    try:
        obstore.put(store, key, data, mode="create", use_multipart=False)
    except AlreadyExistsError:
        found = _get(store, key)
        if found is None:
            raise StoreError(f"{key} was refused as existing, yet cannot be read") from None
        return found
    return data


def _put_file(store: Any, key: str, path: Path) -> None:
    import obstore

    obstore.put(store, key, path)


def _delete(store: Any, key: str) -> None:
    import obstore

    try:
        obstore.delete(store, key)
    except FileNotFoundError:  # some platforms say so
        return


def _list(store: Any, prefix: str) -> list[str]:
    import obstore

    return sorted(item["path"] for batch in obstore.list(store, prefix) for item in batch)


def _numbers(store: Any, folder: str, after: int) -> Numbers:
    """From one answer of the platform, which holds up to `LISTED` keys."""
    import obstore

    offset = f"{folder}/{after:08d}" if after >= 0 else None
    page = next(iter(obstore.list(store, folder, offset=offset, chunk_size=LISTED)), [])
    names = (item["path"].rpartition("/")[2] for item in page)
    return sorted(int(name) for name in names if is_number(name)), len(page) >= LISTED


OPERATIONS: dict[str, Any] = {
    "get": _get,
    "fetch": _fetch,
    "put_if_absent": _put_if_absent,
    "put_file": _put_file,
    "delete": _delete,
    "list": _list,
    "numbers": _numbers,
}
