"""`phasemix runs`: creates runs, shows them, changes what they read next, and traces their batches."""

import argparse
import contextlib
from datetime import datetime
from typing import TYPE_CHECKING

from mixer.commands.steer import run_act, run_archive, run_create, run_extend, run_fork, run_note, run_skip, run_switch
from mixer.commands.trace import add_trace
from streamer.commands.options import add_json, add_root, add_why
from streamer.commands.table import one_line, print_table

if TYPE_CHECKING:
    from mixer.ledger.history import Event
    from mixer.runs.run_info import RunInfo

LEAST_CHANGE = 0.005  # percent, below which a share counts as unchanged
VERBS = "create|list|show|history|switch|fork|skip|pause|resume|end|note|archive|extend|trace|verify"


def add_runs(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar=VERBS)
    create = verbs.add_parser("create", help="create a run on a mixture version")
    create.add_argument("name")
    create.add_argument("--mixture", help="draw from this mixture, NAME or NAME@VERSION; or give a --schedule")
    create.add_argument("--seed", type=int, required=True, help="set the seed of the order of samples")
    create.add_argument("--global-batch", type=int, required=True, help="set how many samples a global batch has")
    create.add_argument("--canonical-nodes", type=int, default=1, help="set for how many nodes the order is (default: 1)")
    create.add_argument(
        "--num-steps", type=int, help="set the planned length; fails immediately if a stream's max_passes would be exceeded"
    )
    create.add_argument(
        "--segment-batches", type=int, default=32, help="set after how many batches a switch can take effect (default: 32)"
    )
    create.add_argument(
        "--write-ahead",
        type=int,
        default=256,
        help="set how many batches past the ledger's end a reader may ask for (default: 256)",
    )
    create.add_argument("--boundaries", action="store_true", help="let batches say where documents begin")
    create.add_argument(
        "--parent", metavar="RUN", help="continue the streams from where this run left them; its passes count towards caps"
    )
    create.add_argument(
        "--parent-step", type=int, metavar="STEP", help="continue behind this many of its batches (default: all)"
    )
    create.set_defaults(run=run_create)
    listing = verbs.add_parser("list", help="list the runs, one line each")
    listing.add_argument("--archived", action="store_true", help="list the archived runs instead of the others")
    listing.set_defaults(run=run_runs)
    show = verbs.add_parser("show", help="show target and realised shares by stream")
    show.add_argument("name")
    show.add_argument("--watch", action="store_true", help="draw bars, again whenever the run has moved on")
    show.add_argument(
        "--interval", type=float, default=2.0, metavar="SECONDS", help="look this often with --watch (default: 2)"
    )
    show.add_argument(
        "--group", choices=("stream", "key"), default="stream", help="choose with --watch what a bar shows (default: stream)"
    )
    show.set_defaults(run=run_use)
    switch = verbs.add_parser("switch", help="switch the run to another mixture version")
    switch.add_argument("name")
    switch.add_argument("mixture", nargs="?", help="draw from this mixture, NAME or NAME@VERSION; or give a --schedule")
    switch.add_argument("--at-step", type=int, help="switch at this step (default: the next boundary)")
    switch.set_defaults(run=run_switch)
    for verb in (create, switch):
        verb.add_argument(
            "--schedule", metavar="FILE", help="read a schedule of mixtures from this TOML file, see docs/policies.md"
        )
        verb.add_argument(
            "--policy", metavar="NAME", help="let this installed function choose the shares from the ledger and the reports"
        )
        verb.add_argument("--policy-every", type=int, metavar="N", help="ask the policy every N batches (default: 32)")
        verb.add_argument(
            "--policy-set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="pass an argument to the policy; repeatable",
        )
    fork = verbs.add_parser("fork", help="create a run that equals another one up to a step")
    fork.add_argument("of_run", metavar="RUN", help="begin as this run")
    fork.add_argument("name", metavar="NEW")
    fork.add_argument(
        "--at-step",
        type=int,
        required=True,
        metavar="STEP",
        help="fork at this batch of RUN's ledger, the first that is the new run's own",
    )
    fork.add_argument("--seed", type=int, help="use this seed (default: RUN's)")
    fork.add_argument("--global-batch", type=int, help="use this global batch (default: RUN's)")
    fork.add_argument("--mixture", help="draw from this mixture from there on (default: as RUN does)")
    fork.add_argument("--num-steps", type=int, help="set the length, counted from RUN's beginning (default: RUN's)")
    fork.add_argument("--skip", type=int, default=0, metavar="N", help="leave out the first N batches from there")
    fork.set_defaults(run=run_fork)
    skip = verbs.add_parser("skip", help="leave out batches that are not in the ledger yet")
    skip.add_argument("name")
    skip.add_argument("start_step", type=int, metavar="STEP", help="leave out from this batch on")
    skip.add_argument("batches", type=int)
    skip.set_defaults(run=run_skip)
    acts = {
        "pause": "stop writing segments until the run is resumed",
        "resume": "end a pause",
        "end": "close the run where its ledger ends",
    }
    acting = [verbs.add_parser(act_name, help=said) for act_name, said in acts.items()]
    for act_name, act in zip(acts, acting, strict=True):
        act.add_argument("name")
        act.set_defaults(run=run_act, verb=act_name)
    note = verbs.add_parser("note", help="write a note into the history, at any time")
    note.add_argument("name")
    note.add_argument("text")
    note.set_defaults(run=run_note)
    archive = verbs.add_parser("archive", help="hide a run that is not open from lists; nothing of it is removed")
    archive.add_argument("name")
    archive.add_argument("--undo", action="store_true", help="show it again")
    archive.set_defaults(run=run_archive)
    history = verbs.add_parser("history", help="show which mixture held when, who changed it and why")
    history.add_argument("name")
    history.set_defaults(run=run_history)
    for verb in (create, switch, fork, skip, *acting, note, archive):
        verb.add_argument("--by", metavar="NAME", help="name who does it (default: PHASEMIX_BY, else the login name)")
        if verb is not note:
            add_why(verb)
    extend = verbs.add_parser("extend", help="write segments ahead of time, up to a step")
    extend.add_argument("name")
    extend.add_argument(
        "--to", type=int, required=True, metavar="STEP", dest="to_step", help="write all batches before this one"
    )
    extend.set_defaults(run=run_extend)
    verify = verbs.add_parser("verify", help="read everything again and name what is damaged or missing")
    verify.add_argument(
        "names", nargs="*", metavar="RUN", help="verify these runs (default: all runs, the mixtures and the other logs)"
    )
    verify.set_defaults(run=run_verify)
    for verb in (
        create,
        listing,
        show,
        switch,
        fork,
        skip,
        *acting,
        note,
        archive,
        history,
        extend,
        add_trace(verbs),
        verify,
    ):
        add_root(verb)
        add_json(verb)


NOUNS = {"runs": add_runs}


def run_runs(options: argparse.Namespace) -> int:
    import msgspec

    from mixer.runs.runs import Runs

    runs = Runs(options.root).list(archived=options.archived)
    if options.json:
        print_table(msgspec.to_builtins(runs), True)
        return 0
    rows = [
        {
            "run": run.name,
            "mixture": run.mixture,
            "batches": run.end_step,
            "of": run.num_steps,
            "global_batch": run.global_batch,
            "seed": run.seed,
            "policy": run.policy,
            "parent": "" if run.parent is None else f"{run.parent}, {run.parent_step:,}",
            "state": run.state_line,
        }
        for run in runs
    ]
    print_table(rows, False)
    return 0


def run_use(options: argparse.Namespace) -> int:
    from mixer.runs.runs import Runs

    runs = Runs(options.root)
    if options.watch:
        from mixer.commands.watch import watch

        with contextlib.suppress(KeyboardInterrupt):
            watch(runs, options.name, interval_s=options.interval, group=options.group, as_json=options.json)
        return 0
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
        policy = "" if info.policy == "fixed" else f", policy {info.policy}"
        sizes = f"seed {info.seed}, global batch {info.global_batch}, {info.end_step} batches"
        print(f"{info.name}: {info.mixture}{policy}, {sizes}")
        for said in remarks(info):
            print(one_line(said))
    print_table(rows, options.json)
    return 0


def remarks(info: "RunInfo") -> list[str]:
    """What else is to be known of a run, a line each."""
    said = (
        [f"{'forked from' if info.fork else 'goes on from'} {info.parent} at step {info.parent_step:,}"]
        if info.parent
        else []
    )
    said += [f"skips {batches:,} batches from {start:,} on" for start, batches in info.skipped]
    return said + ([] if info.state == "open" else [info.state_line])


def run_history(options: argparse.Namespace) -> int:
    import msgspec

    from mixer.ledger.history import fold_ramps
    from mixer.runs.runs import Runs

    events = Runs(options.root).history(options.name)
    if options.json:
        print_table(msgspec.to_builtins(list(events)), True)
        return 0
    rows = [
        {
            "step": event.step,
            "event": event.event,
            "mixture": event.mixture,
            "by": event.by,
            "at": "" if event.at_s is None else f"{datetime.fromtimestamp(event.at_s):%Y-%m-%d %H:%M}",
            "shares": changed_shares(event),
            "why": event.why,
            "run": event.run,
        }
        for event in fold_ramps(events)
    ]
    print_table(rows, False)
    return 0


def changed_shares(event: "Event") -> str:
    """What an event changed by key; by component where there is one key alone, or where no key's share has changed."""
    if event.keys is None or event.shares is None:
        return ""
    by_key = changed(event.keys_before, event.keys) if event.keys_before is not None or len(event.keys) > 1 else ""
    return by_key or changed(event.shares_before, event.shares) or "as before"


def changed(before: dict[str, float] | None, after: dict[str, float]) -> str:
    """`python 40% -> 50%, go 60% -> 50%`: whose shares changed, the largest change first; at first all of them."""
    if before is None:
        return ", ".join(f"{key} {share:.4g}%" for key, share in sorted(percents(after).items(), key=lambda row: -row[1]))
    old, new = percents(before), percents(after)
    moved = {key: new.get(key, 0.0) - old.get(key, 0.0) for key in dict.fromkeys([*old, *new])}
    rows = sorted((key for key, change in moved.items() if abs(change) >= LEAST_CHANGE), key=lambda key: -abs(moved[key]))
    return ", ".join(f"{key} {old.get(key, 0.0):.4g}% -> {new.get(key, 0.0):.4g}%" for key in rows)


def percents(shares: dict[str, float]) -> dict[str, float]:
    return {key: 100 * share for key, share in shares.items()}


def run_verify(options: argparse.Namespace) -> int:
    """Exit code 1 when something must be restored or deleted; each such thing is a line."""
    from mixer.runs.verification import verify_runs
    from streamer.catalog.catalog import Catalog

    found = list(verify_runs(Catalog(options.root), options.names))
    print_table([{"run": one.run, "object": one.object, "state": one.state} for one in found], options.json)
    return int(any(one.is_fault for one in found))
