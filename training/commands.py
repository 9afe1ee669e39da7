"""`phasemix train`: a phase on a run of a mixture."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.phases.run_binding import Job


def add_train(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix train`."""
    from streamer.commands.options import add_json, add_root

    parser.add_argument("phase", metavar="PHASE", help="general, continued or enhanced")
    parser.add_argument("--mixture", required=True, metavar="NAME[@V]", help="what the run is made from")
    parser.add_argument("--run", required=True, metavar="NAME", dest="run_name", help="made when it does not exist")
    parser.add_argument(
        "--recipe", metavar="FILE", help="TOML, or the name of one that comes along: laptop (default), paper"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. general.steps=200; repeatable")
    parser.add_argument("--from", dest="from_run", metavar="RUN", help="start from the last weights of another run")
    parser.add_argument("--resume", action="store_true", help="go on at the last checkpoint, if there is one")
    parser.add_argument("--save-folder", metavar="DIR", help="checkpoints and logs (default: ROOT/checkpoints/RUN)")
    parser.add_argument(
        "--wait", type=float, default=600.0, metavar="SECONDS", help="how long to wait for parts (default 600)"
    )
    parser.add_argument(
        "--service", metavar="URL", help="a mixer service that writes runs, segments and reports; the root is only read"
    )
    add_root(parser)
    add_json(parser)
    parser.set_defaults(run=train)


NOUNS: dict[str, Callable[[argparse.ArgumentParser], None]] = {"train": add_train}


def train(args: argparse.Namespace) -> int:
    """Trains; the last line printed is the result. Raises: PhasemixError before anything heavy is loaded, where it can."""
    job = prepare(args)
    from training.composer import trainer

    result = trainer.train(job)
    if result is not None:
        import msgspec

        from streamer.commands.table import print_table

        row = msgspec.to_builtins(result)
        print_table([row] if args.json else [{k: v for k, v in row.items() if not isinstance(v, dict | list)}], args.json)
    return 0


def prepare(args: argparse.Namespace) -> Job:
    """The job, from the arguments, with its run made. Raises: PhasemixError."""
    from training import checkpoints
    from training.errors import CheckpointError
    from training.phases.phase import load_recipe
    from training.phases.run_binding import Job, bind_run, forks_of

    name, text = read_recipe(args.recipe)
    recipe = load_recipe(text, name=name, phase=args.phase, overrides=args.set)
    folder = Path(args.save_folder) if args.save_folder else checkpoints.default_folder(args.root, args.run_name)
    newest = checkpoints.latest(folder)
    if newest is not None and not args.resume:
        raise CheckpointError(
            f"run {args.run_name} has a checkpoint after step {newest[0]} in {folder}; add --resume, or take another --run"
        )
    weights = None
    if args.from_run and newest is None:
        weights = checkpoints.latest(folder.parent / args.from_run)
        if weights is None:
            raise CheckpointError(
                f"--from {args.from_run}: no checkpoint in {folder.parent / args.from_run}; train that run first"
            )
    num_steps = recipe.num_steps(args.phase)
    info = bind_run(args.root, args.run_name, mixture=args.mixture, recipe=recipe, num_steps=num_steps, service=args.service)
    if newest is None and args.resume:
        newest = checkpoints.forked_from(folder, args.run_name, forks_of(args.root, args.run_name))
    return Job(
        root=str(args.root),
        run=args.run_name,
        phase=args.phase,
        mixture=info.mixture,
        recipe=recipe,
        num_steps=num_steps if info.num_steps is None else min(num_steps, info.num_steps),
        save_folder=str(folder),
        weights=str(weights[1]) if weights and newest is None else None,
        resume=str(newest[1]) if newest else None,
        resume_step=newest[0] if newest else 0,
        service=args.service,
        wait_s=args.wait,
    )


def read_recipe(name: str | None) -> tuple[str, str]:
    """(name, text) of a recipe file, or of one that comes along. Raises: RecipeError."""
    from importlib.resources import files

    from streamer.documents.toml_text import read_text
    from streamer.errors import TomlError
    from training.errors import RecipeError

    shelf = files("training").joinpath("recipes")
    if name is None or name in ("laptop", "paper"):
        return f"{name or 'laptop'}.toml", shelf.joinpath(f"{name or 'laptop'}.toml").read_text()
    try:
        return name, read_text(name)
    except (OSError, UnicodeDecodeError, TomlError) as error:
        raise RecipeError(f"recipe {name} cannot be read: {error}; give a TOML file, laptop or paper") from error
