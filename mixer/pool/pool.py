"""What mixer knows of the generator pool: its wanted size, durable, and its live state, which Redis may lose.

Always holds: the wanted size is the last entry of the log `pools/NAME`; the live state is one JSON value that expires, so
a pool that died is soon "not known" and never shown as alive. Keys in Redis name the root, so that the pools of several
roots may share a Redis.
"""

import msgspec

from mixer.errors import MixerError
from streamer.catalog.catalog import Catalog
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

POOL = "generators"
FORMAT = "pool/1"
STATE_EXPIRES_S = 30
MAX_WORKERS = 1024
ROOT_DIGITS = 16  # of a root's identity, in its keys


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as it last reported; `running` jobs in flight, the rest since it started. `says`: why it waits."""

    name: str
    endpoint: str
    engine: str
    running: int = 0
    says: str = ""
    accepted: int = 0
    rejected: int = 0
    tokens_per_s: float = 0.0


class PoolRates(msgspec.Struct, frozen=True, kw_only=True):
    """Files a minute, over the last minute or since the pool's state is reported."""

    accepted_per_min: float = 0.0
    rejected_per_min: dict[str, float] = {}


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """Synthetic tokens of a language: those that live runs will draw beyond what is published, and how fast they come.

    `tokens_per_min`: published over the last ten minutes; `time_left_s`: until the missing ones are there at that rate, None
    while none come.
    """

    language: str
    missing_tokens: int
    published_tokens: int
    tokens_per_min: float = 0.0
    time_left_s: float | None = None


class RecipeSupply(msgspec.Struct, frozen=True, kw_only=True):
    """What a version of a recipe gives of a language: of the jobs that `ended`, as far as Redis remembers, those with a file
    that no gate has refused; and the tokens that the engine wrote for each published one, None where it does not count them.
    """

    language: str
    recipe: str
    ended: int = 0
    accepted: int = 0
    published_tokens: int = 0
    written_per_token: float | None = None


class RunSupply(msgspec.Struct, frozen=True, kw_only=True):
    """A live run that will draw more of a language's synthetic tokens than are published.

    `left_tokens`: so many its ledger may draw yet of what is published, each token once where no cap says more;
    `drawn_per_min`: tokens, over the last ten minutes; `starves_in_s`: when nothing is left at this rate and at that of the
    supply, None where that is never, or not before the run's end.
    """

    run: str
    language: str
    left_tokens: int
    drawn_per_min: float
    starves_in_s: float | None = None


class PoolState(msgspec.Struct, frozen=True, kw_only=True):
    """The pool as it last reported. `unpublished`: files that wait for a part; `dead`: jobs among the dead letters.

    `says`: what keeps the planner from planning, if something does. `files_per_job`: which share of the jobs that ended gave
    a file, None before one did. `supply`: of each language that runs draw synthetic samples of; `runs`: those that do;
    `recipes`: what each gives.
    """

    workers: list[WorkerState]
    queue_waiting: int
    queue_running: int
    accepted: int
    rejected: dict[str, int]
    engine_label: str
    unpublished: int = 0
    dead: int = 0
    says: str = ""
    files_per_job: float | None = None
    supply: list[Supply] = []
    runs: list[RunSupply] = []
    recipes: list[RecipeSupply] = []
    rates: PoolRates = PoolRates()


def keys_of(catalog: Catalog) -> str | None:
    """How all keys of the root's pool in Redis begin; None for a root that nothing was ever written to."""
    catalog.store.opened.check()
    root_id = catalog.store.opened.id
    return None if root_id is None else f"phasemix:{{{POOL}-{root_id[:ROOT_DIGITS]}}}"


def state_key(keys: str) -> str:
    """The Redis key of the live state."""
    return f"{keys}:state"


def wanted(catalog: Catalog, pool: str = POOL) -> int:
    """The wanted number of workers; 0 before anybody scaled."""
    return int(last(catalog, pool).get("workers", 0))


def draining(catalog: Catalog, pool: str = POOL) -> bool:
    """Whether no new jobs are to be planned, until somebody sets the wanted number."""
    return bool(last(catalog, pool).get("draining", False))


def last(catalog: Catalog, pool: str) -> Body:
    """The newest entry, empty when there is none. Raises: MixerError for another format."""
    bodies = catalog.log(f"pools/{pool}").read()
    if not bodies:
        return {}
    body = bodies[-1]
    with bodies.understood(len(bodies) - 1):
        check_format(MixerError, f"pool {pool}", body["format"], FORMAT)
        return {"workers": int(body["workers"]), "draining": bool(body.get("draining", False))}


def set_wanted(catalog: Catalog, workers: int, pool: str = POOL) -> None:
    """Notes the wanted number. Raises: MixerError outside 0 to 1,024."""
    if not 0 <= workers <= MAX_WORKERS:
        raise MixerError(f"pool {pool}: {workers} workers are outside 0 to {MAX_WORKERS}; scale within that")
    body = {"format": FORMAT, "workers": workers}
    catalog.log(f"pools/{pool}").append(lambda bodies: None if bodies and bodies[-1] == body else body)


def set_draining(catalog: Catalog, pool: str = POOL) -> None:
    """Notes that no new jobs are to be planned; the workers stay as many as they are."""

    def decide(bodies: Bodies) -> Body | None:
        body = {"format": FORMAT, "workers": int(bodies[-1]["workers"]) if bodies else 0, "draining": True}
        return None if bodies and bodies[-1] == body else body

    catalog.log(f"pools/{pool}").append(decide)


def end_draining(catalog: Catalog, pool: str = POOL) -> None:
    """Scales a pool that drains to 0, for which nothing is planned either; one that was scaled meanwhile stays as it is."""
    body = {"format": FORMAT, "workers": 0, "draining": True}

    def decide(bodies: Bodies) -> Body | None:
        return body if bodies and bodies[-1].get("draining") and bodies[-1] != body else None

    catalog.log(f"pools/{pool}").append(decide)


def read_state(redis_url: str | None, catalog: Catalog) -> PoolState | None:
    """The live state, or None when no pool is known: no Redis, no answer, or no report in 30 s."""
    keys = keys_of(catalog)
    if redis_url is None or keys is None:
        return None
    import redis

    try:
        with redis.Redis.from_url(redis_url, socket_timeout=1.0) as client:
            data = client.get(state_key(keys))
    except (redis.RedisError, ValueError):
        return None
    return msgspec.json.decode(data, type=PoolState) if isinstance(data, bytes) else None
