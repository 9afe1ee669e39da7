"""`phasemix generators`: seed, plan, work, publish, scale, status, drain, dead; engine; and recipes, try, show."""

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from generators.commands.engine import add_engine
from generators.commands.files import add_rejected, add_show
from generators.commands.queues import open_queue
from generators.commands.recipes import add_recipes, add_try
from streamer.commands.options import add_json, add_root
from streamer.commands.table import print_table

if TYPE_CHECKING:
    from mixer.pool.pool import PoolState

TICK_S, LONGEST_WAIT_S = 0.5, 5.0
NUMBER = re.compile(r"[\d,]+")
DRAIN_LOOK_S = 0.5


def add_generators(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(
        required=True, metavar="seed|scale|status|recipes|try|show|rejected|drain|dead|engine|plan|work|publish"
    )
    seed = verbs.add_parser("seed", help="order synthetic files, apart from what runs demand")
    seed.add_argument(
        "--from", required=True, dest="glob", metavar="GLOB", help="streams of seed documents, like 'scored/*'"
    )
    seed.add_argument("--files", type=int, required=True, help="accepted files wanted")
    seed.add_argument("--language", help="of this language alone")
    seed.set_defaults(run=run_seed)
    scale = verbs.add_parser("scale", help="set the wanted number of workers")
    scale.add_argument("workers", type=int)
    scale.set_defaults(run=run_scale)
    status = verbs.add_parser("status", help="workers, queue, orders, accepted and rejected files")
    status.set_defaults(run=run_status)
    drain = verbs.add_parser("drain", help="plan no more, wait until what is on its way is published, scale to 0")
    drain.set_defaults(run=run_drain)
    dead = verbs.add_parser("dead", help="jobs that kept failing, and why")
    dead.add_argument("--retry", action="store_true", help="empty the list, so that what is still wanted is planned again")
    dead.set_defaults(run=run_dead)
    add_engine(verbs)
    add_recipes(verbs)
    add_try(verbs)
    add_show(verbs)
    plan = verbs.add_parser("plan", help="run the planner (`phasemix up` does)")
    plan.add_argument("--demand-from", default="scored/*", metavar="GLOB", help="seed documents for what runs demand")
    plan.add_argument("--most-queued", type=int, default=64, help="jobs that may wait")
    plan.add_argument("--model", help="the model's name in identities (default: what most workers serve)")
    plan.set_defaults(run=run_plan)
    work = verbs.add_parser("work", help="run one worker (`phasemix up` does)")
    work.add_argument(
        "--engine", action="append", required=True, metavar="URL", help="an OpenAI-compatible address up to /v1"
    )
    work.add_argument("--name", default=f"worker-{os.getpid()}")
    work.add_argument("--model", help="ask for this model, where an engine serves several (default: the first)")
    work.add_argument(
        "--concurrency", type=int, default=256, help="requests in flight at most; fewer while many wait at the engine"
    )
    work.add_argument(
        "--give-way", action="store_true", help="ask for nothing while requests of the engine's other users wait"
    )
    work.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="for one answer (default: 600)")
    work.add_argument(
        "--max-tokens", type=int, default=1 << 20, help="tokens of a file at most, where its recipe does not allow fewer"
    )
    work.add_argument("--drain", type=float, default=25.0, metavar="SECONDS", help="for jobs in flight after SIGTERM")
    work.set_defaults(run=run_work)
    publish = verbs.add_parser("publish", help="run the publisher (`phasemix up` does)")
    publish.add_argument("--max-wait", type=float, default=8.0, metavar="SECONDS", help="then a part is padded")
    publish.add_argument("--name", default="publisher")
    publish.set_defaults(run=run_publish)
    for verb in (work, publish):
        help_text = "then what a killed process had is taken over by another"
        verb.add_argument("--silent", type=float, default=15.0, metavar="SECONDS", help=help_text)
    for verb in (seed, scale, status, drain, dead, plan, work, publish):
        add_root(verb)
    for verb in (seed, scale, status, drain, dead):
        add_json(verb)
    for verb in (status, drain, dead, plan, work, publish, add_rejected(verbs)):
        verb.add_argument(
            "--redis",
            default=os.environ.get("PHASEMIX_REDIS"),
            metavar="URL",
            help="default: PHASEMIX_REDIS, or the Redis that `phasemix up` runs for this root",
        )


NOUNS = {"generators": add_generators}


def run_seed(options: argparse.Namespace) -> int:
    from generators.planning.orders import place_order
    from mixer.pool import pool
    from streamer.catalog.catalog import Catalog

    catalog = Catalog(options.root)
    order = place_order(catalog, options.glob, files=options.files, language=options.language)
    row = {"order": order.number, "from": order.glob, "language": order.language or "any", "files": order.files}
    print_table([row], options.json)
    if pool.draining(catalog):
        print(
            "phasemix: The pool was drained and plans nothing until it is scaled: phasemix generators scale N",
            file=sys.stderr,
        )
    return 0


def run_scale(options: argparse.Namespace) -> int:
    from mixer.pool import pool
    from streamer.catalog.catalog import Catalog

    catalog = Catalog(options.root)
    before = pool.wanted(catalog)
    pool.set_wanted(catalog, options.workers)
    print_table([{"workers_wanted": options.workers, "before": before}], options.json)
    return 0


def run_status(options: argparse.Namespace) -> int:
    import json

    from streamer.catalog.catalog import Catalog

    catalog = Catalog(options.root)
    state = load_state(options)
    orders, accepted = order_rows(catalog)
    summary = summary_row(catalog, state, accepted)
    workers = [] if state is None else [worker_row(worker) for worker in state.workers]
    rejected = {} if state is None else state.rejected
    demand = [] if state is None else [supply_row(supply, options.json) for supply in state.supply]
    runs = [] if state is None else [run_row(supply, options.json) for supply in state.runs]
    recipes = [] if state is None else [recipe_row(supply) for supply in state.recipes]
    if options.json:
        tables = {"workers": workers, "demand": demand, "runs": runs, "recipes": recipes, "orders": orders}
        found = {**summary, **tables, "rejected": rejected}
        json.dump(found, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 0
    print_table([summary], as_json=False)
    for title, rows in (
        ("workers", workers),
        ("demand of runs", demand),
        ("runs that draw more than is published", runs),
        ("recipes", recipes),
        ("orders", orders),
        ("rejected", [{"reason": reason, "files": count} for reason, count in sorted(rejected.items())]),
    ):
        if rows:
            print(f"\n{title}")
            print_table(rows, as_json=False)
    if state is not None and state.says:
        print(f"phasemix: {state.says}", file=sys.stderr)
    if state is None:
        print("phasemix: No pool reports for this root. On this machine it is started by phasemix up", file=sys.stderr)
    return 0


def load_state(options: argparse.Namespace) -> "PoolState | None":
    """The pool as it last reported, with what is on its way now; None when no pool is known."""
    import msgspec

    from mixer.pool import pool
    from streamer.catalog.catalog import Catalog

    state = pool.read_state(options.redis, Catalog(options.root))
    if state is None:
        return None
    queue = open_queue(options)
    waiting, running, unpublished = queue.depth()
    dead = queue.count_dead()
    return msgspec.structs.replace(state, queue_waiting=waiting, queue_running=running, unpublished=unpublished, dead=dead)


def summary_row(catalog: Any, state: "PoolState | None", accepted: int) -> dict[str, Any]:
    from mixer.pool import pool

    row: dict[str, Any] = {
        "pool": pool_word(catalog, state),
        "workers_wanted": pool.wanted(catalog),
        "workers_live": len(state.workers) if state is not None else 0,
        "accepted": accepted,
    }
    if state is not None:
        row |= {
            "waiting": state.queue_waiting,
            "running": state.queue_running,
            "unpublished": state.unpublished,
            "dead": state.dead,
            "files_per_job": state.files_per_job,
            "engine": state.engine_label,
        }
    return row


def pool_word(catalog: Any, state: "PoolState | None") -> str:
    """What the pool does: a drained one plans nothing until somebody scales it."""
    from mixer.pool import pool

    if state is None:
        return "not known"
    if not pool.draining(catalog):
        return "live"
    return "draining" if state.queue_waiting or state.queue_running or state.unpublished else "drained"


def supply_row(supply: Any, as_json: bool) -> dict[str, Any]:
    import msgspec

    from streamer.wording import duration

    row = dict(msgspec.structs.asdict(supply))
    left = row.pop("time_left_s")
    return row | ({"time_left_s": left} if as_json else {"time_left": duration(left) or "not known"})


def run_row(supply: Any, as_json: bool) -> dict[str, Any]:
    import msgspec

    from streamer.wording import duration

    row = dict(msgspec.structs.asdict(supply))
    if as_json:
        return row
    return row | {"starves_in": duration(row.pop("starves_in_s")) or "never"}


def recipe_row(supply: Any) -> dict[str, Any]:
    import msgspec

    row = dict(msgspec.structs.asdict(supply))
    return row | {"files_per_job": round(supply.accepted / supply.ended, 4) if supply.ended else None}


def worker_row(worker: Any) -> dict[str, Any]:
    import msgspec

    return dict(msgspec.structs.asdict(worker))


def order_rows(catalog: Any) -> tuple[list[dict[str, Any]], int]:
    """(orders with what is published of them, all published files)."""
    from generators.planning.orders import load_orders
    from generators.publishing.published_files import AllPublished

    published = AllPublished(catalog)
    published.refresh()
    rows = [
        {
            "order": order.number,
            "from": order.glob,
            "language": order.language or "any",
            "files": order.files,
            "published": published.count(order.purpose),
        }
        for order in load_orders(catalog)
    ]
    return rows, published.count()


def run_drain(options: argparse.Namespace) -> int:
    from mixer.pool import pool
    from streamer.catalog.catalog import Catalog

    catalog, queue, stop = Catalog(options.root), open_queue(options), stop_on_signals()
    pool.set_draining(catalog)
    before = ""
    while sum(depth := queue.depth()) and pool.draining(catalog):
        line = f"{depth.waiting} waiting, {depth.running} running, {depth.unpublished} to publish"
        if line != before:
            print(f"draining: {line}", file=sys.stderr)
            before = line
        if stop.wait(DRAIN_LOOK_S):
            print("phasemix: still draining; to end that: phasemix generators scale N", file=sys.stderr)
            return 130
    pool.end_draining(catalog)
    drained, wanted = pool.draining(catalog), pool.wanted(catalog)
    print_table([{"drained": drained, "workers_wanted": wanted}], options.json)
    if not drained:
        print(
            f"phasemix: The pool was scaled to {wanted} workers while it drained, which ends the draining.", file=sys.stderr
        )
    return int(not drained)


def run_dead(options: argparse.Namespace) -> int:
    queue = open_queue(options)
    if options.retry:
        print_table([{"revived": queue.revive()}], options.json)
        return 0
    rows = [
        {"job": job.identity, "language": job.language, "seed_document": job.seed_document, "index": job.index, "why": why}
        for job, why in queue.dead()
    ]
    print_table(rows, options.json)
    return 0


def run_plan(options: argparse.Namespace) -> int:
    from generators.planning.planner import Planner
    from generators.scaling import Rates, Supplies, load_workers, models_of, report_pool
    from streamer.catalog.catalog import Catalog

    catalog, queue = Catalog(options.root), open_queue(options)
    known: str | None = options.model

    def model() -> str | None:
        """What most workers serve now; while no worker lives, what the last one served."""
        nonlocal known
        served = models_of(load_workers(queue)) if options.model is None else None
        if served and known not in served:
            known = served.most_common(1)[0][0]
        return known

    planner = Planner(catalog, queue, model=model, demand_glob=options.demand_from, most_queued=options.most_queued, say=say)

    rates, supplies = Rates(), Supplies()

    def tick() -> None:
        queue.own(catalog.store.url)
        planner.tick()
        supply, runs = supplies.note(queue.clock_ms(), planner.needs, planner.published_tokens)
        report_pool(
            queue, rates, accepted=planner.accepted, says=planner.says, supply=supply, runs=runs, costs=planner.costs
        )

    return run_always(tick)


def run_publish(options: argparse.Namespace) -> int:
    from generators.publishing.publishing import Publishing
    from streamer.catalog.catalog import Catalog

    catalog, queue = Catalog(options.root), open_queue(options)
    publishing = Publishing(catalog, queue, name=options.name, max_wait_s=options.max_wait, silent_s=options.silent, say=say)

    def tick() -> None:
        queue.own(catalog.store.url)
        count = publishing.tick()
        if count:
            say(f"published {count} files")

    return run_always(tick)


def run_work(options: argparse.Namespace) -> int:
    import asyncio

    from generators.engines.engine import API_KEY, Engine
    from generators.errors import GeneratorError, QueueError
    from generators.gates.execution import check_execution
    from generators.recipes.recipe import recipes_of
    from generators.scaling import load_workers, models_of, register, unregister
    from generators.worker import Worker
    from streamer.catalog.catalog import Catalog

    if options.concurrency < 1 or options.max_tokens < 1 or options.timeout <= 0:
        raise GeneratorError(
            f"--concurrency {options.concurrency} and --max-tokens {options.max_tokens} must be at least 1, and --timeout "
            f"{options.timeout:g} above 0; raise them"
        )
    check_execution(recipes_of(Catalog(options.root)))
    queue = open_queue(options)
    queue.depth()

    async def work() -> int:
        stop, loop, me = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
        assert me is not None

        def tell() -> None:
            if stop.is_set():
                me.cancel()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, tell)
        engine = Engine(
            options.engine,
            model=options.model,
            max_tokens=options.max_tokens,
            concurrency=options.concurrency,
            timeout_s=options.timeout,
            key=os.environ.get(API_KEY),
            gives_way=options.give_way,
        )
        worker = Worker(
            queue,
            engine,
            name=options.name,
            concurrency=options.concurrency,
            register=register(queue),
            elsewhere=lambda: set(models_of(load_workers(queue), but=options.name)),
            silent_s=options.silent,
            say=say,
        )
        try:
            await worker.run(stop, drain_s=options.drain)
        except asyncio.CancelledError:  # told a second time
            return 130
        finally:
            await engine.close()
        unregister(queue, options.name)
        return 0

    try:
        return asyncio.run(work())
    except QueueError as error:
        say(f"{options.name}: has ended, and others take over what it had once it was silent for a while. {error}")
    return 0


def run_always(tick: Callable[[], None]) -> int:
    """Ticks until told to end. What goes wrong at the first tick ends it; later it is said once and tried again, such as a
    Redis that is away or a disk that is full.
    """
    from streamer.errors import PhasemixError
    from streamer.store.backoff import Backoff
    from streamer.wording import one_line

    stop, first, said, backoff = stop_on_signals(), True, "", Backoff(first_s=TICK_S, longest_s=LONGEST_WAIT_S)
    while not stop.is_set():
        wait_s = TICK_S
        try:
            tick()
            first, said, backoff = False, "", Backoff(first_s=TICK_S, longest_s=LONGEST_WAIT_S)
        except PhasemixError as error:
            if first and not stop.is_set():
                raise
            if NUMBER.sub("", str(error)) != said:
                said = NUMBER.sub("", str(error))
                say(one_line(error))
            wait_s = backoff.next_wait_s() or LONGEST_WAIT_S
        stop.wait(wait_s)
    return 0


def stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets; the second ends the command where it stands."""
    stop = threading.Event()

    def tell(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    return stop


def say(line: str) -> None:
    """Prints a line, unless the disk of the log is full."""
    with suppress(OSError):
        print(line, flush=True)
