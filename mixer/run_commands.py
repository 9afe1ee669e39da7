"""`phasemix runs`."""

import argparse

from mixer.trace_commands import add_trace
from streamer.command_options import add_json, add_root, print_table


def add_runs(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="create|list|show|switch|extend|trace")
    create = verbs.add_parser("create", help="bind a run to a mixture version")
    create.add_argument("name")
    create.add_argument("--mixture", required=True, help="NAME or NAME@VERSION")
    create.add_argument("--seed", type=int, required=True)
    create.add_argument("--global-batch", type=int, required=True, help="samples of a global batch")
    create.add_argument("--canonical-nodes", type=int, default=1)
    create.add_argument("--num-steps", type=int, help="refuse now what caps cannot give for so long")
    create.add_argument(
        "--segment-batches", type=int, default=32, help="batches between moments at which a switch takes effect"
    )
    create.add_argument(
        "--write-ahead", type=int, default=256, help="batches past the ledger's end that a reader may ask for"
    )
    create.add_argument("--boundaries", action="store_true", help="batches say where documents begin")
    create.add_argument("--parent", metavar="RUN", help="go on where this run has brought the streams; caps count on")
    create.add_argument("--parent-step", type=int, metavar="STEP", help="behind so many of its batches (default: all)")
    create.set_defaults(run=run_create)
    listing = verbs.add_parser("list", help="one line a run")
    listing.set_defaults(run=run_runs)
    show = verbs.add_parser("show", help="target beside realised shares")
    show.add_argument("name")
    show.set_defaults(run=run_use)
    switch = verbs.add_parser("switch", help="make another version take effect")
    switch.add_argument("name")
    switch.add_argument("mixture", help="NAME or NAME@VERSION")
    switch.add_argument("--at-step", type=int, help="default: the next boundary")
    switch.set_defaults(run=run_switch)
    extend = verbs.add_parser("extend", help="write segments on purpose, up to a step")
    extend.add_argument("name")
    extend.add_argument("--to", type=int, required=True, metavar="STEP", dest="to_step", help="the batches before it")
    extend.set_defaults(run=run_extend)
    for verb in (create, listing, show, switch, extend, add_trace(verbs)):
        add_root(verb)
        add_json(verb)


NOUNS = {"runs": add_runs}


def run_create(options: argparse.Namespace) -> int:
    from mixer.runs import Runs

    info = Runs(options.root).create(
        options.name,
        mixture=options.mixture,
        seed=options.seed,
        global_batch=options.global_batch,
        canonical_nodes=options.canonical_nodes,
        num_steps=options.num_steps,
        segment_batches=options.segment_batches,
        write_ahead=options.write_ahead,
        boundaries=options.boundaries,
        parent=options.parent,
        parent_step=options.parent_step,
    )
    print_table([{"run": info.name, "mixture": info.mixture, "streams": len(info.shares)}], options.json)
    return 0


def run_runs(options: argparse.Namespace) -> int:
    import msgspec

    from mixer.runs import Runs

    rows = [msgspec.to_builtins(run) for run in Runs(options.root).list()]
    print_table([{key: value for key, value in row.items() if key != "shares"} for row in rows], options.json)
    return 0


def run_use(options: argparse.Namespace) -> int:
    from mixer.runs import Runs

    runs = Runs(options.root)
    info, used = runs.show(options.name), runs.use(options.name)
    drawn = max(1, sum(use.realised_samples for use in used))
    rows = [
        {
            "stream": use.stream,
            "share_now": info.shares.get(use.stream, 0.0),
            "target": use.target_samples / drawn,
            "realised": use.realised_samples / drawn,
            "realised_tokens": use.realised_samples * info.seq_len,
            "passes": use.passes,
        }
        for use in used
    ]
    if not options.json:
        print(f"{info.name}: {info.mixture}, seed {info.seed}, global batch {info.global_batch}, {info.end_step} batches")
    print_table(rows, options.json)
    return 0


def run_switch(options: argparse.Namespace) -> int:
    from mixer.runs import Runs

    step = Runs(options.root).switch(options.name, options.mixture, options.at_step)
    print_table([{"run": options.name, "mixture": options.mixture, "from_step": step}], options.json)
    return 0


def run_extend(options: argparse.Namespace) -> int:
    from mixer.runs import Runs

    end = Runs(options.root).extend(options.name, options.to_step)
    print_table([{"run": options.name, "end_step": end}], options.json)
    return 0
