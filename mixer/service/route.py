"""What a route is: the row that both answers a request and describes it in the OpenAPI document.

Always holds: a route's types are its contract; nothing about it is said twice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mixer.service.requests import Nothing
from streamer.errors import PhasemixError, StoreError


class Question(NamedTuple):
    """One request: the words of its path, its query and body as the route's types, and who asks."""

    words: dict[str, str]
    query: Any
    body: Any
    by: str | None
    role: str

    @property
    def name(self) -> str:
        return self.words["name"]


class Route(NamedTuple):
    """`call` takes a Question and gives `answer`, in a thread; a coroutine function is awaited in the event loop.

    `version`: a word that changes whenever the answer does, cheaper to have than the answer; it becomes the ETag.
    """

    method: str
    path: str
    does: str
    call: Callable[[Question], Any]
    answer: Any
    body: type | None = None
    query: type = Nothing
    version: Callable[[Question], str] | None = None


class AbsentError(Exception):
    """What a path names is not there."""

    def __init__(self, error: PhasemixError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def named_in_path() -> Iterator[None]:
    """Where a mistake can only be that what the path names is not there, unless the store itself fails."""
    try:
        yield
    except StoreError:
        raise
    except PhasemixError as error:
        raise AbsentError(error) from error
