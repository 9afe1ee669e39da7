"""The journal over HTTP: a run's ledger from the mixer's service, for trainers that do not write to the store.

Always holds: the entries are those of the run's one log, in its order; what was fetched once is never asked for again; a
service that is away changes no sample: a trainer goes on with the segments it holds, then waits, then goes on.

How: while a trainer reads, segments are fetched in the background for as many of its steps as take `hold_s` at its own pace,
and for no more than five times the run's `write_ahead`. A switch takes effect behind what is held: that is the price.
"""

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from mixer.errors import MixerError, RunError, ServiceAwayError, StepError, WaitError
from mixer.journal.connection import Body, Connection, word
from mixer.ledger.ledger import Ledger
from streamer import background
from streamer.store.backoff import Backoff

PATIENCE_S = 900.0
HOLD_S = 300.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
MEASURED_S, REMEMBERED_S = 5.0, 120.0  # a pace is one over so long at least, at most
SAY_S = 10.0
MOST_HELD = 5  # times the run's `write_ahead`
T = TypeVar("T")


class Pace:
    """Steps a second, of where a trainer was when. Deciding only."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now_s: float, step: int) -> None:
        """The trainer is at a step; one that goes back begins anew."""
        if self._seen and step < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now_s, step))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= REMEMBERED_S:
            self._seen.popleft()

    @property
    def steps_per_s(self) -> float:
        """0.0 while it is not known."""
        if not self._seen or self._seen[-1][0] - self._seen[0][0] < MEASURED_S:
            return 0.0
        (began_s, first), (now_s, last) = self._seen[0], self._seen[-1]
        return (last - first) / (now_s - began_s)


class ServiceJournal:
    """One run behind one service, as `Journal` is for a reader.

    `patience_s`: how long an absent service is waited for where a segment is needed; `hold_s`: for how long the segments in
    hand should last. `clock`, `sleep` and `say` are the world's.
    """

    writes = False

    def __init__(
        self,
        service: str,
        run: str,
        *,
        token: str | None = None,
        patience_s: float = PATIENCE_S,
        hold_s: float = HOLD_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self.service, self.run = service.rstrip("/"), run
        self._patience_s, self._hold_s = patience_s, hold_s
        self._clock, self._sleep, self._say = clock, sleep, say
        self._connection, self._ahead = (Connection(service, token=token) for _ in range(2))
        self._pace = Pace()
        self._arrived: deque[tuple[int, list[Body]]] = deque()
        self._fetching: threading.Thread | None = None
        self._not_before_s = -math.inf
        self.ledger = Ledger(self._patiently(lambda: entries_from(self._connection, run, 0)))

    @property
    def written(self) -> int:
        """Batches that segments of the log cover, as far as is known here."""
        return self.ledger.end

    def refresh(self) -> None:
        """Takes in what was written since."""
        self._take(self.ledger.length, self._patiently(lambda: entries_from(self._connection, self.run, self.ledger.length)))

    def ensure(self, step: int, *, wait_s: float = 0.0, patience_s: float | None = None) -> None:
        """Has the ledger cover `step`. Raises: StepError, RunEnded, WaitError, RunError when the service stays away.

        With `patience_s` = 0 it is asked for in the background: a step that is needed later.
        """
        while self._arrived:
            self._take(*self._arrived.popleft())
        if step < 0:
            raise StepError(f"run {self.run}: step {step} is below 0")
        if patience_s == 0.0:
            self._hold(step)
            return
        self._pace.note(self._clock(), step)
        if step >= self.ledger.end:
            self._fetch(step, wait_s, self._patience_s if patience_s is None else patience_s)
        self._hold(step)

    def settle(self) -> None:
        """Waits until nothing is fetched in the background."""
        if self._fetching is not None:
            self._fetching.join()

    def _fetch(self, step: int, wait_s: float, patience_s: float) -> None:
        deadline_s = self._clock() + wait_s
        while step >= self.ledger.end:
            start = self.ledger.length
            try:
                self._take(start, self._patiently(lambda: covering(self._connection, self.run, step, start), patience_s))  # noqa: B023
            except WaitError:
                if self._clock() >= deadline_s:
                    raise
                self._sleep(2 * FIRST_WAIT_S)

    def _take(self, start: int, bodies: list[Body]) -> None:
        """Takes in bodies from entry `start` on, of which some may be known."""
        self.ledger.add(bodies[self.ledger.length - start :])

    def _patiently(self, ask: Callable[[], T], patience_s: float | None = None) -> T:
        """Asks until the service answers, and says so. Raises: RunError when it stays away, what it says otherwise."""
        patience_s = self._patience_s if patience_s is None else patience_s
        backoff = Backoff(first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S, total_s=patience_s, clock=self._clock)
        began_s, said_s = self._clock(), -math.inf
        while True:
            try:
                return ask()
            except ServiceAwayError as error:
                now_s = self._clock()
                wait_s = backoff.next_wait_s()
                if wait_s is None:
                    raise RunError(f"run {self.run}: {error}; waited for {patience_s:g} s") from error
                if now_s - said_s >= SAY_S:
                    self._say(f"run {self.run}: waits, {now_s - began_s:.0f} of {patience_s:g} s: {error}")
                    said_s = now_s
            except MixerError as error:
                raise error if isinstance(error, RunError) else RunError(f"run {self.run}: {error}") from error
            self._sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    def _hold(self, step: int) -> None:
        """Has segments fetched in the background, for what the trainer will do in `hold_s` from `step` on."""
        settings = self.ledger.settings
        ahead = choose_ahead(self._pace.steps_per_s, self._hold_s, settings.segment_batches, settings.write_ahead)
        until = self.ledger.skips.behind(step, ahead + 1) - 1
        until = min(until, self.ledger.end + settings.write_ahead - 1)  # the most that one request may add
        if self.ledger.last_step is not None:
            until = min(until, self.ledger.last_step - 1)
        busy = self._fetching is not None and self._fetching.is_alive()
        if until < self.ledger.end or self.ledger.ended is not None or busy or self._clock() < self._not_before_s:
            return
        fetch = partial(self._fetch_ahead, until, self.ledger.length)
        self._fetching = background.start(fetch, name="phasemix-segments")

    def _fetch_ahead(self, until: int, start: int) -> None:
        """Fetches what there is up to a step; that it cannot be had now is no error."""
        try:
            try:
                bodies = covering(self._ahead, self.run, until, start)
            except ServiceAwayError:
                raise
            except MixerError:  # the run ends, waits or may not go so far: what there is will do
                bodies = entries_from(self._ahead, self.run, start)
            self._arrived.append((start, bodies))
        except MixerError:
            self._not_before_s = self._clock() + LONGEST_WAIT_S


def entries_from(connection: Connection, run: str, start: int) -> list[Body]:
    """The entries of a run's log from one on."""
    return connection.get(f"runs/{word(run)}/ledger", list[Body], start=start)


def covering(connection: Connection, run: str, step: int, start: int) -> list[Body]:
    """The same, once the ledger covers a step."""
    return connection.post(f"runs/{word(run)}/segments", list[Body], {"step": step, "start": start})


def choose_ahead(steps_per_s: float, hold_s: float, segment_batches: int, write_ahead: int) -> int:
    """How many steps past a trainer's the ledger should be in hand.

    At least a segment; what the pace makes of `hold_s`, and a segment; at most `MOST_HELD` times `write_ahead`, less a
    segment, which the service adds by itself.
    """
    wanted = math.ceil(steps_per_s * hold_s) + segment_batches if steps_per_s else segment_batches
    return max(segment_batches, min(wanted, MOST_HELD * write_ahead - segment_batches))
