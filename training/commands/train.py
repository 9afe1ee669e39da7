"""`phasemix train`: trains a phase on a run of a mixture.

Always holds: every precondition that can be checked without loading the trainer is checked before the run is created and
before anything heavy is imported.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.checkpoints.choice import Chosen
    from training.checkpoints.place import Place
    from training.commands.dry_run import Checked
    from training.measures.result import Result
    from training.phases.job import Job

TRAINERS = ("composer", "torch")


def add_train(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix train`."""
    from streamer.commands.options import add_json, add_root

    parser.add_argument("phase", metavar="PHASE", help="train this phase: general, continued or enhanced")
    parser.add_argument("--mixture", required=True, metavar="NAME[@V]", help="draw batches from this mixture")
    parser.add_argument("--run", required=True, metavar="NAME", dest="run_name", help="train this run; create it if needed")
    parser.add_argument(
        "--recipe",
        metavar="FILE",
        help="read this TOML file, or a recipe that comes along, such as laptop (default) or paper",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key, e.g. general.steps=200; repeatable"
    )
    parser.add_argument(
        "--trainer",
        choices=TRAINERS,
        default="composer",
        help="take the steps with Composer (default) or a plain PyTorch loop",
    )
    parser.add_argument("--from", dest="from_run", metavar="RUN", help="start with the newest weights of another run")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    parser.add_argument(
        "--extend",
        action="store_true",
        help="move the horizon of a run that was trained to the one that the recipe asks for",
    )
    parser.add_argument(
        "--trust", metavar="SHA256", help="load a checkpoint that this run did not write, if this is its digest"
    )
    parser.add_argument(
        "--save-folder",
        metavar="DIR",
        help="write checkpoints and logs here, a folder or an s3, gs or azure address (default: ROOT/checkpoints/RUN)",
    )
    parser.add_argument(
        "--wait", type=float, default=600.0, metavar="SECONDS", help="wait this long for parts (default: 600)"
    )
    parser.add_argument(
        "--service", metavar="URL", help="leave the writing of runs, segments and reports to this mixer service"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, say what the training would be, and write nothing"
    )
    parser.add_argument(
        "--ranks", type=int, default=1, metavar="N", help="let --dry-run reckon the memory of each of N ranks (default: 1)"
    )
    add_root(parser)
    add_json(parser)
    parser.set_defaults(run=train)


NOUNS: dict[str, Callable[[argparse.ArgumentParser], None]] = {"train": add_train}


def train(args: argparse.Namespace) -> int:
    """Trains. The last line printed is the result. Raises: PhasemixError, before anything heavy is loaded where it can."""
    if args.dry_run:
        return show_dry_run(args)
    job = prepare(args)
    try:
        with sigterm_as_interrupt():
            result = load_trainer(args.trainer)(job)
    except KeyboardInterrupt:
        say(what_is_kept(args.run_name, job.save_folder, job.save_url))
        return 130
    if result is not None:
        import msgspec

        from streamer.commands.table import print_table

        row = msgspec.to_builtins(result)
        print_table([row] if args.json else [{k: v for k, v in row.items() if not isinstance(v, dict | list)}], args.json)
    return 0


def load_trainer(name: str) -> Callable[[Job], Result | None]:
    """What trains a job: `composer` or `torch`."""
    if name == "torch":
        say("loading PyTorch, which takes some seconds")
        from training.torch_loop.trainer import train
    else:
        say("loading Composer and PyTorch, which takes some seconds")
        from training.composer.trainer import train
    return train


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Lets SIGTERM raise KeyboardInterrupt, as Control-C does, also before and behind the steps."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def what_is_kept(run: str, folder: str, url: str | None = None) -> str:
    """What an interrupted training leaves, and how to go on."""
    from training.checkpoints import files

    newest = files.latest(Path(folder))
    if newest is None:
        return f"interrupted before the first checkpoint of run {run}; type the same command again to start it"
    step, path = newest
    also = f" (what was sent to {url} may be older)" if url else ""
    return (
        f"interrupted; run {run} is kept up to step {step:,} in {path}{also}. Add --resume to the same command to go on "
        "from there"
    )


def prepare(args: argparse.Namespace) -> Job:
    """The job that the arguments ask for. First all is checked, then folder and run are made. Raises: PhasemixError."""
    from streamer.commands.options import person
    from training.phases.job import Job
    from training.phases.run_binding import make_run

    found = check(args)
    found.place.make()
    info = make_run(
        found.catalog,
        found.binding,
        recipe=found.recipe,
        num_steps=found.num_steps,
        horizon=found.horizon,
        service=args.service,
        by=person(),
    )
    return Job(
        root=str(args.root),
        run=args.run_name,
        phase=args.phase,
        mixture=info.mixture,
        recipe=found.recipe,
        num_steps=found.num_steps if info.num_steps is None else min(found.num_steps, info.num_steps),
        save_folder=str(found.place.folder),
        save_url=found.place.url,
        tokenizer=found.binding.tokenizer,
        fill_in=found.binding.fill_in,
        weights=str(found.weights.path) if found.weights else None,
        resume=str(found.resume.path) if found.resume else None,
        resume_step=found.resume.step if found.resume else 0,
        service=args.service,
        wait_s=args.wait,
    )


def check(args: argparse.Namespace) -> Checked:
    """All that can be checked of a training without the trainer; nothing is written. Raises: PhasemixError."""
    from streamer import Catalog
    from streamer.catalog.names import check_word
    from training.checkpoints.place import default_place, place_at
    from training.commands.dry_run import Checked
    from training.errors import RecipeError
    from training.evaluation.heldout import check_heldout
    from training.phases.loggers import check_loggers
    from training.phases.phase import load_recipe
    from training.phases.recipe_file import read_recipe
    from training.phases.run_binding import check_horizon, check_run, check_same_ids

    check_word(args.run_name, what="run")  # before a folder gets its name
    if not 0 <= args.wait < math.inf:
        raise RecipeError(f"--wait must be a number of seconds, 0 or more (got {args.wait})")
    name, text = read_recipe(args.recipe)
    recipe = load_recipe(text, name=name, phase=args.phase, overrides=args.set)
    check_loggers(recipe.loggers)
    place = place_at(args.save_folder) if args.save_folder else default_place(args.root, args.run_name)
    num_steps, catalog = recipe.num_steps(args.phase), Catalog(args.root)
    binding = check_run(catalog, args.run_name, mixture=args.mixture, recipe=recipe)
    place.check()
    resume, weights = choose_checkpoints(args, place, exists=binding.info is not None)
    check_shapes(resume or weights, recipe.model)
    if weights is not None:
        check_same_ids(catalog, binding, args.from_run)
    horizon = check_horizon(
        catalog, binding, num_steps, has_checkpoint=bool(place.steps()), extend=args.extend, phase=args.phase
    )
    has_heldout = check_heldout(catalog, recipe.heldout, tokenizer=binding.tokenizer)
    return Checked(catalog, recipe, args.phase, place, num_steps, binding, horizon, resume, weights, has_heldout)


def show_dry_run(args: argparse.Namespace) -> int:
    """Prints what a training would be; nothing is written. Raises: PhasemixError."""
    import msgspec

    from mixer.commands.mixtures import print_preview
    from streamer.commands.table import print_json
    from training.commands.dry_run import dry_run, lines

    found = dry_run(check(args), ranks=args.ranks, trainer=args.trainer)
    if args.json:
        print_json(msgspec.to_builtins(found))
        return 0
    print("\n".join(lines(found)), end="\n\n")
    print_preview(found.preview)
    print("\nnothing was written")
    return 0


def choose_checkpoints(args: argparse.Namespace, place: Place, *, exists: bool) -> tuple[Chosen | None, Chosen | None]:
    """The checkpoint to go on from, or the one whose weights to start with, or neither. Raises: PhasemixError."""
    from training.checkpoints.choice import choose, choose_for_fork
    from training.errors import CheckpointError
    from training.phases.run_binding import forks_of

    steps, fetches = place.steps(), not args.dry_run
    if steps and not args.resume:
        copy = f" (here: {place.folder})" if place.url else ""
        raise CheckpointError(
            f"run {args.run_name} has a checkpoint after step {steps[-1]} in {place}{copy}; add --resume, or take another "
            "--run"
        )
    resume = choose(place, trusted=args.trust, say=say, fetches=fetches)
    if resume is not None:
        return resume, None
    if args.resume and exists:
        forks = forks_of(args.root, args.run_name)
        resume = choose_for_fork(place, args.run_name, forks, trusted=args.trust, say=say, fetches=fetches)
    if resume is None and args.from_run:
        source = place.beside(args.from_run)
        weights = choose(source, trusted=args.trust, say=say, fetches=fetches)
        if weights is None:
            raise CheckpointError(f"--from {args.from_run}: there is no checkpoint in {source}; train that run first")
        return None, weights
    return resume, None


def check_shapes(chosen: Chosen | None, shape: object) -> None:
    """Raises: CheckpointError when the checkpoint is of a model of another shape than the recipe's."""
    import msgspec

    from training.checkpoints.choice import check_shape

    if chosen is not None:
        check_shape(chosen, msgspec.to_builtins(shape))


def say(line: str) -> None:
    """Tells a person who waits; of the processes of one training the first alone does."""
    if os.environ.get("RANK", "0") == "0":
        print(f"phasemix: {line}", file=sys.stderr, flush=True)
