"""What the service answers where no struct of the library says it already; the client reads the same."""

from typing import Any

import msgspec

from mixer.mixture.versions import Version
from mixer.pool.pool import PoolRates, PoolState
from mixer.runs.run_info import RunInfo
from mixer.runs.stream_use import StreamUse


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a role, and the token's name. `token_needed`: writes, and beyond loopback reads, need a token."""

    role: str
    by: str | None
    token_needed: bool
    version: str


class StreamRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the catalog's list, with the stream's key."""

    name: str
    kind: str
    key: str
    parts: int
    samples: int
    tokens: int
    seq_len: int | None
    dtype: str | None
    tokenizer: str | None


class MixtureRow(msgspec.Struct, frozen=True, kw_only=True):
    """A mixture and its newest version, `name@v`."""

    name: str
    versions: int
    mixture: str


class MixturePage(msgspec.Struct, frozen=True, kw_only=True):
    """A mixture's history."""

    name: str
    versions: list[Version]


class MixtureText(msgspec.Struct, frozen=True, kw_only=True):
    """A version as canonical TOML and as JSON."""

    mixture: str
    toml: str
    document: dict[str, Any]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The version, `name@v`."""

    mixture: str


class RunPage(RunInfo, frozen=True, kw_only=True):
    """A run with what it drew of each stream."""

    use: list[StreamUse]


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """The first step of the new mixture."""

    from_step: int


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """Whether lists hide the run now."""

    archived: bool


class PoolPage(msgspec.Struct, frozen=True, kw_only=True):
    """The wanted number of workers, and the live state; None: no pool is known. `draining`: no new jobs are planned."""

    wanted: int
    draining: bool = False
    state: PoolState | None
    rates: PoolRates | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The wanted number of workers."""

    wanted: int


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order of synthetic files: how many are wanted, from documents of which streams, and how many are published."""

    order: int
    glob: str = msgspec.field(name="from")
    language: str | None
    files: int
    published: int


class Draining(msgspec.Struct, frozen=True, kw_only=True):
    """A pool that plans no new jobs: what is on its way until the pool is empty. Then no workers are wanted any more."""

    draining: bool
    waiting: int
    running: int
    unpublished: int
