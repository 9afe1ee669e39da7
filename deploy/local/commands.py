"""`phasemix up|down|status`: the supervisor of a root, started detached, stopped with all it runs, shown."""

from __future__ import annotations

import argparse
import os
import sys


def add_up(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix up`."""
    from streamer.commands.options import add_json, add_root

    parser.add_argument(
        "--port",
        type=int,
        metavar="PORT",
        help="serve mixer and dashboard at this port, 0 for any that is free (default: the port that this root had last, "
        "at first 7427, or the next free one)",
    )
    parser.add_argument("--open", action="store_true", help="open the dashboard in a browser as soon as everything runs")
    parser.add_argument(
        "--host", default="127.0.0.1", help="listen at this address; beyond loopback that needs tokens (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--tokens",
        metavar="FILE",
        help="take tokens from this file of mode 0600 with lines of: name role token (default: those in PHASEMIX_TOKENS)",
    )
    parser.add_argument(
        "--redis",
        metavar="URL",
        default=os.environ.get("PHASEMIX_REDIS") or None,
        help="use this Redis (default: PHASEMIX_REDIS, which keeps a password off the command line; else start one)",
    )
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="URL",
        help="use this OpenAI-compatible engine, with the key in OPENAI_API_KEY if it asks for one; may be repeated "
        "(default: the rule-based one)",
    )
    parser.add_argument("--model", help="ask the engines for this model (default: the first that they serve)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="set the wanted number of workers (default: unchanged, or 1)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="wait at most this long until everything runs (default: 60)",
    )
    add_root(parser)
    add_json(parser)
    parser.set_defaults(run=up)


def add_down(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix down`."""
    from streamer.commands.options import add_root

    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="let workers drain for at most this long (default: 60)",
    )
    add_root(parser)
    parser.set_defaults(run=down)


def add_status(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix status`."""
    from streamer.commands.options import add_json, add_root

    add_root(parser)
    add_json(parser)
    parser.set_defaults(run=status)


def up(args: argparse.Namespace) -> int:
    """Starts everything, waits until it runs, prints it. Raises: SupervisorError; nothing is then left running."""
    from deploy.local import local_machine
    from streamer.catalog.registry import has_root

    is_new = not has_root(args.root)
    if args.open and args.port is None and local_machine.is_up(args.root):
        return look_at_it(args)
    local_machine.start(
        args.root,
        port=args.port,
        host=args.host,
        tokens=args.tokens,
        redis_url=args.redis,
        engines=args.engine,
        model=args.model,
        workers=args.workers,
        timeout_s=args.timeout,
    )
    if is_new:
        print(f"phasemix: There was no root at {args.root}; what runs begins with an empty one.", file=sys.stderr)
    return look_at_it(args) if args.open else status(args)


def look_at_it(args: argparse.Namespace) -> int:
    """Shows the services of a root that is up, and opens its dashboard."""
    from deploy.local import local_machine
    from deploy.local.browser import open_dashboard

    shown = status(args)
    open_dashboard(local_machine.dashboard_address(args.root))
    return shown


def down(args: argparse.Namespace) -> int:
    """Stops everything that `up` started; fine when nothing is up."""
    from deploy.local import local_machine

    found = local_machine.stop(args.root, timeout_s=args.timeout)
    print("stopped" if found else f"nothing is up for {args.root}")
    return 0


def status(args: argparse.Namespace) -> int:
    """Prints each service: name, state, pid, restarts, address, log. Raises: StoreError where no root is."""
    from deploy.local import local_machine
    from streamer.catalog.registry import require_root
    from streamer.commands.table import print_table

    rows = local_machine.rows(args.root)
    if not rows:
        require_root(args.root)
    if rows or args.json:
        print_table(rows, args.json)
    else:
        print(f"nothing is up for {args.root} on this machine; `phasemix up` starts it")
    return 0
