"""Whoever cleans up after an append that failed first learns whether its entry stands; what cannot be learned is left."""

from pathlib import Path
from typing import Any

import pytest

from streamer.errors import StoreError, UnknownOutcomeError
from streamer.store.directory_store import DirectoryStore
from streamer.store.log import Log
from streamer.store.store import MemoryStore

OTHER = "another writer's"


class Failing(MemoryStore):
    """Fails the put of an entry with `error`, before or after it, or after somebody else's; and may then fail reads."""

    error: BaseException | None = None
    stores = ""  # what is stored first: "" for nothing, "own", "other"
    unreadable = False

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        if self.error is None or not key.startswith("log/"):
            return super().put_if_absent(key, data)
        error, self.error = self.error, None
        if self.stores == "other":
            Log(self, "log").append(lambda _: {"by": OTHER})
        elif self.stores == "own":
            super().put_if_absent(key, data)
        raise error

    def get(self, key: str) -> bytes | None:
        if self.unreadable:
            raise StoreError("it cannot be read")
        return super().get(key)


class FailingDirectory(Failing):
    """The same as a file system, whose calls have ended when they end."""

    def local_path(self, key: str) -> Path | None:
        return Path("/nowhere") / key


def fail(store: Failing, error: BaseException, stores: str) -> list[str]:
    """Appends with that failure; what `undo` noted."""
    undone: list[str] = []
    log = Log(store, "log")
    log.append(lambda _: {"n": 0})
    store.error, store.stores = error, stores
    with pytest.raises(type(error)):
        log.append(lambda _: {"n": 1}, undo=lambda: undone.append("undone"))
    return undone


UNKNOWN, REFUSED, INTERRUPT = UnknownOutcomeError("not known"), StoreError("refused"), KeyboardInterrupt()


@pytest.mark.parametrize(
    ("kind", "error", "stores", "is_undone"),
    [
        (Failing, REFUSED, "", True),
        (Failing, UNKNOWN, "", False),  # it may yet arrive
        (Failing, UNKNOWN, "own", False),
        (Failing, UNKNOWN, "other", True),
        (Failing, INTERRUPT, "", False),
        (Failing, INTERRUPT, "own", False),
        (Failing, INTERRUPT, "other", True),
        (FailingDirectory, UNKNOWN, "", False),
        (FailingDirectory, INTERRUPT, "", True),
        (FailingDirectory, INTERRUPT, "own", False),
        (FailingDirectory, SystemExit(1), "own", False),
        (FailingDirectory, MemoryError(), "", True),
    ],
)
def test_what_an_entry_names_is_removed_only_when_no_entry_stands_or_ever_will(
    kind: type[Failing], error: BaseException, stores: str, is_undone: bool
) -> None:
    assert fail(kind(), error, stores) == (["undone"] if is_undone else [])


@pytest.mark.parametrize("error", [UNKNOWN, INTERRUPT])
@pytest.mark.parametrize("stores", ["", "other"])
def test_nothing_is_removed_while_the_log_cannot_be_read(error: BaseException, stores: str) -> None:
    class Away(FailingDirectory):
        def put_if_absent(self, key: str, data: bytes) -> bytes:
            try:
                return super().put_if_absent(key, data)
            except BaseException:
                self.unreadable = True
                raise

    assert fail(Away(), error, stores) == []


def test_nothing_is_removed_when_what_the_store_answers_is_damaged() -> None:
    class Damages(MemoryStore):
        def put_if_absent(self, key: str, data: bytes) -> bytes:
            stored = super().put_if_absent(key, data)
            return stored[:-9] if key.startswith("log/") else stored

    undone: list[str] = []
    store = Damages()
    with pytest.raises(StoreError):
        Log(store, "log").append(lambda _: {"n": 1}, undo=lambda: undone.append("undone"))
    assert undone == []
    assert list(Log(store, "log").read()) == [{"n": 1}]


def test_what_decide_raises_is_raised_and_undone() -> None:
    undone: list[str] = []

    def decide(bodies: list[Any]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Log(MemoryStore(), "log").append(decide, undo=lambda: undone.append("undone"))
    assert undone == ["undone"]


def test_an_undo_that_the_store_fails_does_not_hide_why_it_was_called(root: Path) -> None:
    def undo() -> None:
        raise StoreError("it cannot be removed")

    def decide(bodies: list[Any]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Log(DirectoryStore(root), "log").append(decide, undo=undo)


@pytest.mark.parametrize("error", [UNKNOWN, INTERRUPT])
def test_an_append_that_is_repeated_finds_its_entry_once(error: BaseException) -> None:
    store = Failing()
    log = Log(store, "log")
    log.append(lambda _: {"n": 0})
    store.error, store.stores = error, "own"
    with pytest.raises(type(error)):
        log.append(lambda _: {"n": 1})
    assert log.append(lambda _: {"n": 2}) == (2, {"n": 2})  # something else
    assert log.append(lambda _: {"n": 1}) == (1, {"n": 1})
    assert log.append(lambda _: {"n": 1}) == (3, {"n": 1})  # asked for anew
    assert list(Log(store, "log").read()) == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 1}]


def test_what_did_not_come_to_stand_is_appended_when_it_is_repeated() -> None:
    store = Failing()
    log = Log(store, "log")
    for stores in ("", "other"):
        store.error, store.stores = UNKNOWN, stores
        with pytest.raises(UnknownOutcomeError):
            log.append(lambda _: {"n": 1})
    log.append(lambda _: {"n": 1})
    assert list(Log(store, "log").read()) == [{"by": OTHER}, {"n": 1}]
