"""What a request may say: its body and its query as structs, and a mistake in them as one line.

Always holds: a key that a struct does not have is refused; the line names field, value and what is allowed.
"""

from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from mixer.errors import MixerError
from mixer.faults import Fault, check
from mixer.ledger.ledger import Batches, GlobalBatch, Seed, Step, Steps
from mixer.steering.schedules import Function, Schedule

MOST_DEPTH = 16
TOO_DEEP = f"the body is nested deeper than {MOST_DEPTH} levels; send a flatter one"
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
Reference = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*(@[1-9][0-9]*)?$", max_length=80)]
Stream = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._@/-]*$", max_length=400)]
Word = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._@-]*$", max_length=64)]
Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=1000)]
Toml = Annotated[str, Meta(max_length=1 << 19)]


class RequestError(MixerError):
    """A request that this service does not understand."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the bodies and queries have in common: other keys are refused."""


class Nothing(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No keys."""


class Why(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    why: Line | None = None


class OfStream(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    stream: Stream


class Pair(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    before: Reference
    after: Reference


class Apply(Why, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text, or settings on a version."""

    toml: Toml | None = None
    mixture: Reference | None = None
    settings: dict[str, Any] | None = None


class PreviewOf(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text, or a version with settings that are not applied. `run`: passes go on from that run's pools."""

    toml: Toml | None = None
    mixture: Reference | None = None
    settings: dict[str, Any] | None = None
    tokens: Annotated[int, Meta(ge=0, le=1 << 62)] = 0
    run: Name | None = None


class Switch(Why, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mixture: Reference | None = None
    schedule: Schedule | None = None
    policy: Function | None = None
    at_step: Step | None = None


class Fork(Why, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    at_step: Step
    seed: Seed | None = None
    global_batch: GlobalBatch | None = None
    mixture: Reference | None = None
    num_steps: Steps | None = None
    skip: Step = 0


class Skip(Why, frozen=True, kw_only=True, forbid_unknown_fields=True):
    start_step: Step
    batches: Batches


class Lengthen(Why, frozen=True, kw_only=True, forbid_unknown_fields=True):
    num_steps: Steps


class Archive(Why, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`undo`: show the run in lists again."""

    undo: bool = False


class Listing(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`archived`: those that are hidden, in place of the others."""

    archived: bool = False


class Note(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Segments(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    step: Step = 0
    start: Step = 0


class From(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    start: Step = 0


class Series(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    points: Annotated[int, Meta(ge=2, le=1000)] = 200
    by: Annotated[str, Meta(pattern="^(key|stream|component)$")] = "key"
    start: Step = 0
    end: Step | None = None


class OfBatch(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limit` rows of a global batch from slot `first` on."""

    step: Step
    first: Annotated[int, Meta(ge=0, le=1 << 24)] = 0
    limit: Annotated[int, Meta(ge=1, le=32)] = 8


class OfRows(OfStream, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limit` rows of a stream from row `first` on, counted over its parts."""

    first: Step = 0
    limit: Annotated[int, Meta(ge=1, le=32)] = 8


class OfDocument(OfStream, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document of the part that an entry of the stream's log names."""

    part: Step
    document: Line


class OfScores(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The streams SET/KEY and SET/KEY/*."""

    set: Word
    key: Word


class OfScored(OfScores, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limit` documents from the one with index `first` on, of those that score at least `low` and less than `high`."""

    order: Annotated[str, Meta(pattern="^(best|worst)$")] = "best"
    low: float | None = None
    high: float | None = None
    first: Annotated[int, Meta(ge=0, le=1 << 24)] = 0
    limit: Annotated[int, Meta(ge=1, le=32)] = 8


class Workers(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    workers: Annotated[int, Meta(ge=0, le=1024)]


class Files(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    verdict: Annotated[str, Meta(pattern="^(accepted|rejected)$")] = "accepted"
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


T = TypeVar("T")


def read_body(data: bytes, kind: type[T]) -> T:
    """Raises: RequestError."""
    try:
        document = msgspec.json.decode(data or b"{}")
    except RecursionError as error:
        raise RequestError(TOO_DEEP) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body cannot be read as JSON in UTF-8: {error}; send one object") from error
    if depth(document) > MOST_DEPTH:
        raise RequestError(TOO_DEEP)
    return read(document, kind, "body")


def read_query(query: bytes, kind: type[T]) -> T:
    """Raises: RequestError."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError as error:
        raise RequestError(f"the query cannot be read: {error}; write key=value&key=value in UTF-8") from error
    values = dict(pairs)
    if len(values) < len(pairs):
        raise RequestError("the query has a key twice; give each once")
    return read(values, kind, "query", strict=False)


def read(document: Any, kind: type[T], what: str, *, strict: bool = True) -> T:
    """Raises: RequestError that names key, value and what is allowed."""
    try:
        return check(document, kind, strict=strict)
    except Fault as fault:
        allowed = ", ".join(getattr(kind, "__struct_encode_fields__", ())) or "none"
        keys = "" if "its keys are" in str(fault) else f"; its keys are {allowed}"
        raise RequestError(f"{what}: {fault}{keys}, see /openapi.json") from fault


def depth(value: Any) -> int:
    """How many lists and tables lie in each other; counts no further than is allowed."""
    level, found = [value], 0
    while level and found <= MOST_DEPTH:
        nested = [item for item in level if isinstance(item, dict | list)]
        found += bool(nested)
        level = [inner for item in nested for inner in (item.values() if isinstance(item, dict) else item)]
        if not nested:
            break
    return found
