"""Options that every subcommand has, and who types. Imports nothing heavy."""

import argparse
import os


def add_root(parser: argparse.ArgumentParser) -> None:
    """Adds `--root`; `PHASEMIX_ROOT` is its default, and one of them must be there."""
    default = os.environ.get("PHASEMIX_ROOT") or None
    parser.add_argument(
        "--root",
        type=root_address,
        default=default,
        required=default is None,
        metavar="ROOT",
        help="the catalog: a directory or an s3, gs or azure address (default: PHASEMIX_ROOT)",
    )


def root_address(text: str) -> str:
    """The address, which may not be empty: that would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a directory or an s3, gs or azure address")
    return text


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_why(parser: argparse.ArgumentParser) -> None:
    """Adds `--why`, a note for people that is kept with what is done."""
    parser.add_argument("--why", metavar="TEXT", help="why, for those who read the history")


def person() -> str | None:
    """Who types: `PHASEMIX_BY`, else the login name, None where there is none."""
    import getpass

    try:
        return os.environ.get("PHASEMIX_BY") or getpass.getuser()
    except (KeyError, OSError):
        return None


def add_executor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--executor",
        choices=("local", "ray", "slurm"),
        default="local",
        help="run tasks on this machine, on a Ray cluster, or as jobs of Slurm",
    )
