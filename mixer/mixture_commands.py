"""`phasemix mixtures`."""

import argparse
import sys
from pathlib import Path

from streamer.command_options import add_json, add_root, print_table


def add_mixtures(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="apply|list|show|edit|preview")
    apply = verbs.add_parser("apply", help="check a mixture and make a version of it")
    apply.add_argument("file", help="a TOML file, or - for standard input")
    apply.set_defaults(run=run_apply)
    listing = verbs.add_parser("list", help="one line a mixture")
    listing.set_defaults(run=run_list)
    show = verbs.add_parser("show", help="the mixture as it was applied")
    show.add_argument("mixture", help="NAME or NAME@VERSION")
    show.set_defaults(run=run_show)
    edit = verbs.add_parser("edit", help="apply a new version with some settings changed")
    edit.add_argument("name")
    edit.add_argument("--set", action="append", required=True, metavar="COMPONENT.KEY=VALUE", dest="assignments")
    edit.set_defaults(run=run_edit)
    preview = verbs.add_parser("preview", help="what each stream would give against the catalog now")
    preview.add_argument("mixture", help="NAME or NAME@VERSION")
    preview.add_argument("--tokens", default="0", help="horizon in tokens, for passes (like 50B)")
    preview.set_defaults(run=run_preview)
    for verb in (apply, listing, show, edit, preview):
        add_root(verb)
        add_json(verb)


NOUNS = {"mixtures": add_mixtures}


def run_apply(options: argparse.Namespace) -> int:
    from mixer.errors import MixtureError
    from mixer.mixtures import Mixtures

    try:
        text = sys.stdin.read() if options.file == "-" else Path(options.file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MixtureError(f"mixture file {options.file} cannot be read: {error}; name a TOML file") from error
    print_table([{"mixture": Mixtures(options.root).apply(text)}], options.json)
    return 0


def run_list(options: argparse.Namespace) -> int:
    from mixer.mixtures import Mixtures

    print_table([{"mixture": name, "versions": count} for name, count in Mixtures(options.root).list()], options.json)
    return 0


def run_show(options: argparse.Namespace) -> int:
    import msgspec

    from mixer.mixtures import Mixtures

    reference, mixture = Mixtures(options.root).load(options.mixture)
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(mixture)).decode() + "\n")
        return 0
    print(f"# {reference}\nname = {mixture.name!r}\nseq_len = {mixture.seq_len}")
    for component in mixture.component:
        print("\n[[component]]")
        for key, value in msgspec.to_builtins(component).items():
            if value not in (None, [], {}):
                print(f"{key} = {toml_value(value)}")
    return 0


def toml_value(value: object) -> str:
    """A scalar, list or flat table as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {toml_value(inner)}' for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(inner) for inner in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def run_edit(options: argparse.Namespace) -> int:
    from mixer.mixtures import Mixtures

    print_table([{"mixture": Mixtures(options.root).edit(options.name, options.assignments)}], options.json)
    return 0


def run_preview(options: argparse.Namespace) -> int:
    from mixer.mixture import count_tokens
    from mixer.mixtures import Mixtures
    from mixer.slots import ONE

    mixtures = Mixtures(options.root)
    plan, horizon = mixtures.resolve(options.mixture), count_tokens(options.tokens, "--tokens")
    rows = []
    for place, stream in enumerate(plan.streams):
        snapshot, limit = mixtures.catalog.stream(stream), plan.limit[place]
        unique = (snapshot.samples if limit is None else limit) * (snapshot.seq_len or 0)
        share = plan.shares[place] / ONE
        row = {
            "stream": stream,
            "component": plan.component[place],
            "share": share,
            "unique_tokens": unique,
            "max_passes": plan.max_passes[place],
            "tokens": int(share * horizon),
            "passes": share * horizon / unique if unique else 0.0,
        }
        rows.append(row)
    print_table(rows, options.json)
    return 0
