"""What `phasemix runs` does to a run: creates, switches, forks, pauses or ends it, leaves out batches, writes ahead."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from streamer.commands.options import person
from streamer.commands.table import print_table

if TYPE_CHECKING:
    from mixer.ledger.policy import Policy, Value
    from mixer.steering.schedules import Schedule


def run_create(options: argparse.Namespace) -> int:
    from mixer.ledger.ledger import Shape
    from mixer.runs.runs import Runs

    info = Runs(options.root).create(
        options.name,
        mixture=options.mixture,
        parent=options.parent,
        parent_step=options.parent_step,
        steering=read_steering(options),
        **{key: getattr(options, key) for key in Shape.__struct_fields__},
        **signature(options),
    )
    print_table([{"run": info.name, "mixture": info.mixture, "streams": len(info.shares)}], options.json)
    return 0


def run_switch(options: argparse.Namespace) -> int:
    from mixer.runs.runs import Runs

    runs, steering = Runs(options.root), read_steering(options)
    step = runs.switch(options.name, options.mixture, options.at_step, steering=steering, **signature(options))
    written = [event.mixture for event in runs.history(options.name) if (event.event, event.step) == ("switched", step)]
    print_table([{"run": options.name, "mixture": options.schedule or written[-1], "from_step": step}], options.json)
    return 0


def run_fork(options: argparse.Namespace) -> int:
    from mixer.runs.runs import Runs

    info = Runs(options.root).fork(
        options.of_run,
        options.name,
        at_step=options.at_step,
        seed=options.seed,
        global_batch=options.global_batch,
        mixture=options.mixture,
        num_steps=options.num_steps,
        skip=options.skip,
        **signature(options),
    )
    row = {"run": info.name, "parent": info.parent, "from_step": info.parent_step, "mixture": info.mixture}
    print_table([{**row, "seed": info.seed, "global_batch": info.global_batch, "skip": options.skip}], options.json)
    return 0


def run_skip(options: argparse.Namespace) -> int:
    from mixer.runs.runs import Runs

    Runs(options.root).skip(options.name, options.start_step, options.batches, **signature(options))
    print_table([{"run": options.name, "start_step": options.start_step, "batches": options.batches}], options.json)
    return 0


def run_act(options: argparse.Namespace) -> int:
    """pause, resume and end."""
    from mixer.runs.runs import Runs

    runs = Runs(options.root)
    getattr(runs, options.verb)(options.name, **signature(options))
    info = runs.show(options.name)
    print_table([{"run": info.name, "end_step": info.end_step, "state": info.state}], options.json)
    return 0


def run_archive(options: argparse.Namespace) -> int:
    from mixer.runs.runs import Runs

    Runs(options.root).archive(options.name, undo=options.undo, **signature(options))
    print_table([{"run": options.name, "archived": not options.undo}], options.json)
    return 0


def run_note(options: argparse.Namespace) -> int:
    from mixer.runs.runs import Runs

    Runs(options.root).note(options.name, options.text, by=options.by or person())
    print_table([{"run": options.name, "noted": options.text}], options.json)
    return 0


def run_extend(options: argparse.Namespace) -> int:
    from mixer.runs.runs import Runs
    from streamer.commands.progress_line import ProgressLine

    runs, progress = Runs(options.root), ProgressLine(sys.stderr)
    start = runs.show(options.name).end_step

    def wrote(end: int) -> None:
        progress("batches", min(end, options.to_step) - start, options.to_step - start)

    try:
        end = runs.extend(options.name, options.to_step, wrote=wrote)
    finally:
        progress.end()
    print_table([{"run": options.name, "end_step": end}], options.json)
    return 0


def signature(options: argparse.Namespace) -> dict[str, Any]:
    """Who does it and why, as arguments."""
    return {"by": options.by or person(), "why": options.why}


def read_steering(options: argparse.Namespace) -> "Schedule | Policy | None":
    """What `--schedule` or `--policy` ask for. Raises: RunError."""
    from mixer.errors import RunError
    from mixer.steering.schedules import EVERY, Function, read_schedule, steering_of
    from streamer.documents.toml_text import read_text
    from streamer.errors import TomlError

    schedule = function = None
    if options.schedule is not None:
        try:
            text = read_text(options.schedule)
        except OSError as error:
            raise RunError(f"schedule {options.schedule} cannot be read: {error.strerror}; name a TOML file") from error
        except UnicodeDecodeError as error:
            raise RunError(f"schedule {options.schedule} is not UTF-8: {error.reason}; save the file as UTF-8") from error
        except TomlError as error:
            raise RunError(f"schedule {options.schedule}: {error.reason}") from error
        schedule = read_schedule(text, name=options.schedule)
    if options.policy is not None:
        arguments = dict(read_argument(assignment) for assignment in options.policy_set)
        every = EVERY if options.policy_every is None else options.policy_every
        function = Function(name=options.policy, every=every, arguments=arguments)
    elif options.policy_set or options.policy_every is not None:
        raise RunError("--policy-every and --policy-set are of a policy; name it with --policy")
    return steering_of(schedule, function)


def read_argument(assignment: str) -> "tuple[str, Value]":
    """KEY=VALUE, the value TOML or a bare word. Raises: RunError."""
    from mixer.errors import RunError
    from streamer.documents.toml_text import parse_value
    from streamer.errors import TomlError

    key, equals, text = assignment.partition("=")
    if not equals or not key.isidentifier():
        raise RunError(f"--policy-set {assignment!r} is not KEY=VALUE, such as rate=0.3")
    try:
        value = parse_value(text)
    except TomlError as error:
        raise RunError(f"--policy-set {key}: {error.reason}") from error
    if not isinstance(value, bool | int | float | str):
        raise RunError(f"--policy-set {assignment!r}: give a number, a word, true or false")
    return key, value
