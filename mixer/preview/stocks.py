"""Reads what a preview reckons with: how far a run has come, how fast it goes, how fast streams grow.

Always holds: nothing is written; a stream that has not grown for an hour costs no read.
"""

import time
from collections.abc import Sequence

import numpy as np

from mixer.errors import RunError
from mixer.journal.journal import Forecast
from mixer.mixture.plan import Plan
from mixer.order.shares import ONE
from mixer.order.slots import even_out
from mixer.planning.standing import Standings, standing_in, standings_of
from mixer.preview.course import Stock
from streamer.catalog.catalog import Catalog
from streamer.catalog.growth import RECENT_S, WINDOW, rate
from streamer.catalog.manifest import Snapshot


def stocks_of(
    catalog: Catalog, plan: Plan, snapshots: Sequence[Snapshot], growth: Sequence[float], run: str | None
) -> tuple[list[Stock], float | None]:
    """Each stream's stock, in a run if one is named, and the run's tokens a second. Raises: RunError."""
    standings: Standings = {}
    speed = None
    if run is not None:
        journal = Forecast(catalog, run)
        ledger = journal.ledger
        if ledger.settings.seq_len != snapshots[0].seq_len:
            raise RunError(
                f"run {run} has seq_len {ledger.settings.seq_len}, mixture {plan.mixture} {snapshots[0].seq_len}; preview a "
                "mixture of the same"
            )
        standings = standings_of(ledger, journal.state(ledger.end))
        speed = speed_of(catalog, run, time.time())
    stocks, places = [], [standing_in(standings, stream) for stream in plan.streams]
    owed = even_out(plan.shares, np.array([place.owed for place in places], np.int64)).tolist()
    for cap, limit, snapshot, grows, standing, debt in zip(
        plan.max_passes, plan.limit, snapshots, growth, places, owed, strict=True
    ):
        samples = snapshot.samples if limit is None else limit
        total = standing.grown(samples).total
        stocks.append(Stock(total, standing.drawn, standing.left(samples, cap), grows, debt / ONE))
    return stocks, speed


def rest_of(catalog: Catalog, run: str | None) -> int | None:
    """Tokens that are left of a run's `num_steps`; None without a run, without a horizon or where nothing is left."""
    if run is None:
        return None
    ledger = Forecast(catalog, run).ledger
    steps = 0 if ledger.last_step is None else ledger.last_step - ledger.end
    return steps * ledger.settings.global_batch * ledger.settings.seq_len if steps > 0 else None


def speed_of(catalog: Catalog, run: str, now_s: float) -> float | None:
    """Tokens a second of a run, by when its last segments were asked for; None for a run that stands still."""
    log = catalog.log(f"runs/{run}/ledger")
    bodies = log.read()
    places = [place for place, body in enumerate(bodies) if body["event"] == "segment"][-WINDOW:]
    if len(places) < 2 or now_s - log.written_at_s(places[-1]) > RECENT_S:
        return None
    settings = bodies[0]["settings"]
    batches = sum(bodies[place]["batches"] for place in places[1:])
    return rate(batches * settings["global_batch"] * settings["seq_len"], log, places[0], now_s) or None
