"""A run's log: what each position of the run draws. Format ledger/1, order order/1.

Always holds: what position p is, is a pure function of the ledger's bodies and the streams' logs. Later entries never
change an earlier position.

How: a created or switched entry holds a plan (streams, shares, caps) as integers; a segment entry names the batches it
covers, the plan by its entry, and the streams that grew, each with its rows and with what had been drawn from it. A fork's
created entry holds what its parent had come to; skipped entries only say what is not handed out. A created or switched entry
may name a policy, and without one the shares are fixed from its step on; what a policy did is a switched or noted entry that
says so (`steered`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash
from msgspec import Meta

from mixer.errors import RunError
from mixer.ledger.policy import Policy, policy_of
from mixer.ledger.skips import Skips
from mixer.mixture.plan import Plan
from mixer.order.passes import Era, Timeline
from mixer.order.permutation import Ints
from streamer.store.entries import RESTORE, UNREADABLE
from streamer.store.log import Body

FORMAT = "ledger/1"
ORDER = "order/1"
WAITING_ROWS_JOIN = "order/2"  # what a segment says in which rows join that had waited; earlier versions refuse it
ORDERS = (ORDER, WAITING_ROWS_JOIN)
FOREVER = 1 << 62  # behind every batch


Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1, title="an integer from 0 to 9,223,372,036,854,775,807", examples=[17])]
GlobalBatch = Annotated[int, Meta(ge=1, le=1 << 20, title="an integer from 1 to 1,048,576", examples=[512])]
Nodes = Annotated[int, Meta(ge=1, le=64, title="an integer from 1 to 64")]
Batches = Annotated[int, Meta(ge=1, le=1 << 16, title="an integer from 1 to 65,536")]
Steps = Annotated[int, Meta(ge=1, le=1 << 40, title="an integer from 1 to 1,099,511,627,776")]
Step = Annotated[int, Meta(ge=0, le=1 << 40, title="an integer from 0 to 1,099,511,627,776")]


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new run is asked to be. `global_batch` in samples; `num_steps` in global batches that are handed out.

    `segment_batches`: after so many global batches a switch or a new part can take effect; `write_ahead`: how many past the
    ledger's end a reader may ask for; `boundaries`: whether a batch says where in its rows documents begin.
    """

    seed: Seed
    global_batch: GlobalBatch  # a share of 2^40 times a batch must leave room in 64 bits
    canonical_nodes: Nodes = 1
    num_steps: Steps | None = None
    segment_batches: Batches = 32  # counts of a segment are planned at once
    write_ahead: Steps = 256
    boundaries: bool = False


class Settings(Shape, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What a run is bound to."""

    mixture: str
    seq_len: int


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """How far the lineage of a run has gone through one stream when the run begins. `parts`: a digest of the ids of its
    parts up to entry `snapshot` of its log; empty in entries that were written before it was kept here.

    `eras`: its passes, as `passes.Era` has them; `lanes`: of each range the first row, the open pass and what each lane has
    given in it.
    """

    stream: str
    drawn: int
    total: int
    snapshot: int
    eras: tuple[Era, ...]
    lanes: list[tuple[int, int, list[int]]]
    parts: str = ""


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run of a lineage goes on: behind `step` batches of `run`.

    `ledger` is that run's digest up to there, `seed` what decides the order inside the lineage's streams.
    """

    run: str
    step: int
    ledger: str
    seed: int
    pools: list[Pool]


class Fork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run that forked holds beside its parent: it is that parent up to the step.

    `owed` to each of the parent's streams there (in 1/ONE); `skipped`: (start, batches), those of the parent before the
    step and what the fork leaves out there; `chosen`: the plan that people chose last, where a policy had changed it.
    """

    owed: list[int]
    skipped: list[tuple[int, int]]
    chosen: Plan | None = None


class Segment(NamedTuple):
    """`batches` global batches from `start` under the plan of entry `plan`; entries that change nothing make one longer.

    `shares` (streams,) in 1/ONE by index; `counts` (streams,) when it is one closing batch; `totals` (streams,) the rows
    there are from its first batch on.
    """

    start: int
    batches: int
    plan: int
    shares: Ints
    counts: Ints | None
    totals: Ints

    @property
    def end(self) -> int:
        return self.start + self.batches


class Redactions(NamedTuple):
    """From batch `step` on, of each of these streams what its log's first so many entries redact is not given."""

    step: int
    streams: dict[int, int]


class Ledger:
    """A run's bodies, the first being its creation, taken in one after the other, with what they imply.

    `forked_from`: the run that it is up to its `begin`. Raises: RunError for a format or order that it does not know.
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        if not bodies or bodies[0].get("event") != "created":
            raise RunError("the run's ledger does not begin with the run's creation; restore its first entry from a copy")
        created = bodies[0]
        with understood(0):
            check_format(created)
            self.settings = msgspec.convert(created["settings"], Settings)
            self.parent = msgspec.convert(created.get("parent"), Parent | None)
            self.fork = msgspec.convert(created.get("fork"), Fork | None)
        self.forked_from = self.parent.run if self.parent is not None and self.fork is not None else None
        pools = self.parent.pools if self.parent is not None else []
        self.streams = [pool.stream for pool in pools]
        self.timelines = [Timeline(pool.eras, pool.total) for pool in pools]
        self.totals = [pool.total for pool in pools]
        self.snapshots = [pool.snapshot for pool in pools]
        self.part_digests = [pool.parts for pool in pools]  # of the ids of the parts in those snapshots
        self.plans: dict[int, Plan] = {}
        self.switches: list[tuple[int, int]] = []  # (step, entry of the plan)
        self.policies: list[tuple[int, int, Policy | None]] = []  # (step, entry, what holds from there)
        self.steered: dict[int, int] = {}  # step -> entry in which the policy decided
        self.failure: str | None = None  # why its last decision came to nothing
        self.segments: list[Segment] = []
        self.num_steps = self.settings.num_steps  # the horizon as it is now; `settings` keeps the one of the creation
        self.ended: str | None = None
        self.paused: str | None = None
        self.redactions: list[Redactions] = []
        self.skips = Skips()
        for start, batches in self.fork.skipped if self.fork is not None else []:
            self.skips.add(start, batches)
        self.length, self._is_torn = 0, False
        self._digest = xxhash.xxh3_64()
        self._digests: list[tuple[int, str]] = []  # (end of a segment's entry, digest up to it)
        self.add(bodies)

    @property
    def end(self) -> int:
        """The first batch that no segment covers."""
        return self.segments[-1].end if self.segments else self.begin

    @property
    def begin(self) -> int:
        """The first batch of the run's own: a fork's batches before it are its parent's."""
        return self.parent.step if self.forked_from is not None and self.parent is not None else 0

    @property
    def last_step(self) -> int | None:
        """Where the order ends by `num_steps`, which counts batches that are handed out."""
        return None if self.num_steps is None else self.skips.behind(0, self.num_steps)

    @property
    def is_at_horizon(self) -> bool:
        """Whether the run has ended, and for no other reason than its `num_steps`."""
        return self.num_steps is not None and self.ended == horizon_reached(self.num_steps)

    def take(self, bodies: Sequence[Body]) -> None:
        """Takes in the bodies that it has not seen. Raises: RunError for a format or order that it does not know."""
        self.add(bodies[self.length :])

    def add(self, bodies: Sequence[Body]) -> None:
        """Takes in bodies that follow those it has seen. Raises: RunError after an interrupt that left one half taken in."""
        if self._is_torn:
            raise RunError("an interrupt came while this process read the run's ledger; open the run again")
        for body in bodies:
            try:
                with understood(self.length):
                    self._take(body)
                self.length += 1
            except Exception:
                raise
            except BaseException:
                self._is_torn = True
                raise

    def _take(self, body: Body) -> None:
        self._digest.update(msgspec.json.encode(body, order="sorted"))
        check_format(body)
        match body["event"]:
            case "created":
                self._take_plan(0, body["plan"])
                self._take_policy(self.begin, body)
            case "switched":
                self._take_plan(body["at_step"], body["plan"])
                self._take_policy(body["at_step"], body)
            case "segment":
                self._take_segment(body)
            case "ended":
                self.ended = body["reason"]
            case "lengthened":
                if self.is_at_horizon:
                    self.ended = None
                self.num_steps = body["num_steps"]
            case "skipped":
                self.skips.add(body["start"], body["batches"])
            case "paused":
                self.paused = f"paused at step {self.end}{signed(body)}"
            case "resumed":
                self.paused = None
            case "redacted":
                self.redactions.append(Redactions(body["at_step"], dict(map(tuple, body["streams"]))))
            case "noted":
                self._take_policy(body.get("at_step", 0), body)
            case other:
                raise RunError(f"the run's ledger has an entry {other!r} that this version does not know; update phasemix")

    @property
    def pool_seed(self) -> int:
        """What decides the order inside the streams: the seed of the first run of the lineage."""
        return self.settings.seed if self.parent is None else self.parent.seed

    @property
    def drawn_before(self) -> Ints:
        """Draws of each stream by the lineage before the run: (streams of the parent,)."""
        return np.array([pool.drawn for pool in self.parent.pools] if self.parent else [], np.int64)

    @property
    def owed_before(self) -> Ints:
        """Samples that a fork's parent owed each stream: (streams of the parent,)."""
        return np.array(self.fork.owed, np.int64) if self.fork is not None else np.zeros_like(self.drawn_before)

    def _take_plan(self, step: int, plan: dict[str, Any]) -> None:
        self.plans[self.length] = msgspec.convert(plan, Plan)
        self.switches.append((step, self.length))
        for name in self.plans[self.length].streams:
            if name not in self.streams:
                self.streams.append(name)
                self.timelines.append(Timeline())
                self.totals.append(0)
                self.snapshots.append(0)
                self.part_digests.append("")

    def _take_policy(self, step: int, body: Body) -> None:
        """The entry's policy; of a switched one that people made, that none holds from its step on."""
        decided = body.get("steered", False)
        if "policy" in body or (body["event"] == "switched" and not decided):
            self.policies.append((step, self.length, policy_of(body)))
        if decided:
            self.steered[step] = self.length
            self.failure = body["why"] if body["event"] == "noted" else None

    def _take_segment(self, body: Body) -> None:
        joins, before = body.get("joins", []), self.segments[-1] if self.segments else None
        self._digests.append((body["start"] + body["batches"], self._digest.hexdigest()))
        if before is not None and not joins and continues(before, body):
            self.segments[-1] = before._replace(batches=before.batches + body["batches"])
            return
        for index, total, snapshot, drawn, parts in joins:
            if total > self.totals[index]:
                self.timelines[index].extend(drawn, total)
            else:
                self.timelines[index].merge(drawn)
            self.totals[index], self.snapshots[index], self.part_digests[index] = total, snapshot, parts
        if "shares" in body or before is None:
            shares = np.array(body["shares"], np.int64)
        else:
            shares = widen(before.shares, len(self.streams))
        counts = np.array(body["counts"], np.int64) if "counts" in body else None
        totals = np.array(self.totals, np.int64)
        self.segments.append(Segment(body["start"], body["batches"], body["plan"], shares, counts, totals))

    def plan_at(self, step: int) -> int:
        """The entry of the plan that holds at a step: of those up to it that with the latest step, of equals the last."""
        return max(switch for switch in self.switches if switch[0] <= step)[1]

    def policy_at(self, step: int) -> Policy | None:
        """What chooses the shares at a step; None: they are fixed."""
        return max((held for held in self.policies if held[0] <= step), key=lambda held: held[:2], default=(0, 0, None))[2]

    def chosen_at(self, step: int) -> Plan:
        """The plan that people chose last: what a policy changes at a step."""
        decided = set(self.steered.values()) - {0}
        entry = max(switch for switch in self.switches if switch[0] <= step and switch[1] not in decided)[1]
        return self.fork.chosen if not entry and self.fork is not None and self.fork.chosen else self.plans[entry]

    def redacted_at(self, step: int) -> dict[int, int]:
        """The streams of which something is redacted in a batch, each with the entries of its log that say what."""
        found: dict[int, int] = {}
        for redactions in self.redactions:
            if redactions.step <= step:
                found |= redactions.streams
        return found

    def next_switch(self, step: int) -> int | None:
        """The next later step at which another plan takes effect."""
        later = [at for at, entry in self.switches if at > step]
        return min(later, default=None)

    def next_change(self, step: int) -> int | None:
        """The next later step at which a segment must end, as far as the ledger knows.

        That is where another plan takes effect, where the policy is asked, or where the run ends.
        """
        policy = self.policy_at(step)
        decision = None if policy is None else policy.next_decision(step)
        return min((end for end in (self.next_switch(step), decision, self.last_step) if end is not None), default=None)

    def reach(self, segment: Segment) -> int:
        """How far a segment goes on if no later entry changes that: to its end, unless it is the last one."""
        if segment is not self.segments[-1] or segment.counts is not None or self.ended is not None:
            return segment.end
        change = self.next_change(segment.end - 1)
        return FOREVER if change is None else change

    def segment_at(self, step: int) -> Segment:
        """The segment that holds a batch of the ledger."""
        return self.segments[bisect_right(self.segments, step, key=lambda segment: segment.start) - 1]

    def digest(self, step: int) -> str:
        """A digest of the segments that decide the run's own batches before `step`."""
        return self._digests[bisect_left(self._digests, (step, ""))][1] if self.begin < step <= self.end else ""


def check_format(body: Body) -> None:
    """Raises: RunError for a format or order that this version does not know."""
    if body["format"] != FORMAT or body.get("order", ORDER) not in (ORDERS if body["event"] == "segment" else (ORDER,)):
        raise RunError(f"the run's ledger has format {body['format']}, order {body.get('order')}; update phasemix")


@contextmanager
def understood(number: int) -> Iterator[None]:
    """Whoever reads body `number` of a ledger inside gets a RunError that names the entry, instead of a KeyError or its kin.

    Bodies of log/2 are what was written. Those of log/1 may have been damaged since.
    """
    try:
        yield
    except UNREADABLE as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise RunError(f"entry {number:08d} of the run's ledger cannot be understood ({said}); {RESTORE}") from error


def continues(before: Segment, body: Body) -> bool:
    """Whether a segment without joins draws by the rule of the one before it."""
    return before.plan == body["plan"] and before.counts is None and "shares" not in body and "counts" not in body


def horizon_reached(num_steps: int) -> str:
    """The reason with which a run ends at its horizon."""
    return f"it has its num_steps = {num_steps}"


def signed(body: Body) -> str:
    """Who made an entry and why: " by operator: the loss rose"; empty where it does not say."""
    by, why = body.get("by"), body.get("why")
    return f"{f' by {by}' if by else ''}{f': {why}' if why else ''}"


def widen(values: npt.NDArray[np.int64], width: int) -> Ints:
    """The same values, zeros for streams that came later."""
    return values if len(values) == width else np.concatenate([values, np.zeros(width - len(values), np.int64)])


def check_plan(name: str, ledger: Ledger, plan: Plan) -> None:
    """Raises: RunError when a plan does not fit what the run draws from already."""
    check_tokens(name, ledger.plans[0], plan)
    check_limits(name, plan, dict(zip(ledger.streams, ledger.totals, strict=True)))


def check_tokens(name: str, before: Plan, plan: Plan) -> None:
    """Raises: RunError when a plan has other tokens than the one before it."""
    if (plan.dtype, plan.tokenizer) != (before.dtype, before.tokenizer):
        raise RunError(
            f"run {name} has {before.dtype} tokens of tokenizer {before.tokenizer}, {plan.mixture} {plan.dtype} of "
            f"{plan.tokenizer}; start another run"
        )


def check_limits(name: str, plan: Plan, totals: dict[str, int]) -> None:
    """Raises: RunError when a plan would take away samples that the run, or its lineage, draws from already."""
    for stream, limit in zip(plan.streams, plan.limit, strict=True):
        have = totals.get(stream, 0)
        if limit is not None and limit < have:
            raise RunError(
                f"run {name} draws from {have:,} samples of {stream}, {plan.mixture} would leave {limit:,}; "
                "keep best_tokens as it is, or start another run"
            )
