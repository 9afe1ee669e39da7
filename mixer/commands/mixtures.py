"""`phasemix mixtures`: writes mixtures, changes their shares and shows what they would give."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamer.commands.options import add_json, add_root, add_why, person
from streamer.commands.table import print_json, print_table, short

if TYPE_CHECKING:
    from mixer.mixture.plan import ShareChange
    from mixer.preview.preview import Preview
    from mixer.preview.previews import Mixtures


MOST_REFUSALS = 5  # that are printed of a preview
MOST_PASSES = 4  # of a stream that go without a warning: the paper sees its best tokens as often


def add_mixtures(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="list|show|apply|edit|set|diff|preview|schema")
    listing = verbs.add_parser("list", help="list the mixtures, or the versions of one")
    listing.add_argument(
        "mixture", nargs="?", metavar="NAME", help="list this mixture's versions, with who made them and why"
    )
    listing.set_defaults(run=run_list)
    show = verbs.add_parser("show", help="show a version in TOML")
    show.add_argument("mixture", help="NAME or NAME@VERSION")
    show.set_defaults(run=run_show)
    apply = verbs.add_parser("apply", help="check a mixture and make a version of it")
    apply.add_argument("file", help="read this TOML file, or - for standard input")
    apply.set_defaults(run=run_apply)
    edit = verbs.add_parser("edit", help="make a version from another one, in your editor or with --set")
    edit.add_argument("mixture", help="NAME or NAME@VERSION")
    add_settings(edit)
    edit.add_argument("--yes", action="store_true", help="apply without asking what the editor left")
    edit.set_defaults(run=run_edit)
    setting = verbs.add_parser("set", help="give components or languages a share; the others keep their proportions")
    setting.add_argument("mixture", help="NAME or NAME@VERSION")
    setting.add_argument(
        "shares", nargs="+", metavar="NAME=SHARE", help="give this share, such as synthetic=40%% python=50%%"
    )
    setting.add_argument("--preview", action="store_true", help="show what would change and make no version")
    setting.set_defaults(run=run_set)
    diff = verbs.add_parser("diff", help="show how the resolved shares of two versions differ")
    diff.add_argument("mixture", metavar="before", help="NAME or NAME@VERSION")
    diff.add_argument("after", help="NAME, NAME@VERSION or a TOML file")
    diff.set_defaults(run=run_diff)
    preview = verbs.add_parser("preview", help="show what each stream would give: tokens, passes, what runs dry")
    preview.add_argument("mixture", help="NAME, NAME@VERSION or a TOML file")
    add_settings(preview)
    preview.add_argument("--run", metavar="RUN", dest="of_run", help="count passes and caps from where this run is")
    preview.add_argument("--tokens-per-s", type=float, help="reckon with this speed of training (default: as the run went)")
    preview.set_defaults(run=run_preview)
    schema = verbs.add_parser("schema", help="print the JSON schema of mixture files, for editors")
    schema.set_defaults(run=run_schema)
    for verb in (edit, preview):
        verb.add_argument(
            "--tokens",
            metavar="COUNT",
            help="preview so many tokens, such as 50B (default: what is left of --run, else one pass over all streams)",
        )
    for verb in (apply, edit, setting):
        add_why(verb)
    for verb in (apply, listing, show, edit, setting, diff, preview):
        add_root(verb)
        add_json(verb)


def add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="COMPONENT.KEY=VALUE",
        dest="assignments",
        help="change a setting, such as synthetic.pin.python=0.4; repeatable",
    )
    parser.add_argument(
        "--unset", action="append", default=[], metavar="COMPONENT.KEY", help="return a setting to its default; repeatable"
    )


NOUNS = {"mixtures": add_mixtures}


def run_list(options: argparse.Namespace) -> int:
    from datetime import datetime

    import msgspec

    from mixer.preview.previews import Mixtures

    mixtures = Mixtures(options.root)
    if options.mixture is None:
        print_table([{"mixture": name, "versions": count} for name, count in mixtures.list()], options.json)
        return 0
    rows = [msgspec.to_builtins(version) for version in mixtures.versions(options.mixture)]
    if not options.json:
        for row in rows:
            row["at"] = datetime.fromtimestamp(row.pop("at_s")).strftime("%Y-%m-%d %H:%M")
    print_table(rows, options.json)
    return 0


def run_show(options: argparse.Namespace) -> int:
    from mixer.preview.previews import Mixtures

    mixtures = Mixtures(options.root)
    if options.json:
        print_json(mixtures.document(options.mixture))
    else:
        sys.stdout.write(mixtures.text(options.mixture))
    return 0


def run_apply(options: argparse.Namespace) -> int:
    from mixer.preview.previews import Mixtures

    text, name = read_argument(options.file)
    mixtures = Mixtures(options.root)
    before = dict(mixtures.list())
    made = mixtures.apply(text, by=person(), why=options.why, name=name)
    called, options.mixture = made.partition("@")[0], made
    print_made(mixtures, made, f"{called}@{before[called]}" if before.get(called) else None, options.json)
    return 0


def run_edit(options: argparse.Namespace) -> int:
    from mixer.commands.editor import edit_version
    from mixer.preview.previews import Mixtures

    mixtures, horizon = Mixtures(options.root), horizon_of(options)
    before = mixtures.load(options.mixture)[0]
    if options.assignments or options.unset:
        made: str | None = mixtures.apply_edit(before, settings_of(options), by=person(), why=options.why)
    else:
        show = print_outlook if not options.json else lambda preview, changes: None
        made = edit_version(mixtures, before, show, tokens=horizon, yes=options.yes, by=person(), why=options.why)
    options.mixture = made or before
    if made is None:
        print_table([{"mixture": before}], True) if options.json else print(f"{before} stays, because nothing was changed")
    elif options.assignments or options.unset:
        print_made(mixtures, made, before, options.json)
    else:
        print_table([{"mixture": made}], options.json)
    return 0


def run_set(options: argparse.Namespace) -> int:
    from mixer.mixture.wanted import parse_wanted
    from mixer.preview.previews import Mixtures

    mixtures, wanted = Mixtures(options.root), parse_wanted(options.shares)
    before = mixtures.load(options.mixture)[0]
    if options.preview:
        print_changes(mixtures.compare_settings(before, mixtures.settings_for(before, wanted)), options.json)
        return 0
    options.mixture = mixtures.set_shares(before, wanted, by=person(), why=options.why)
    print_made(mixtures, options.mixture, before, options.json)
    return 0


def run_diff(options: argparse.Namespace) -> int:
    from mixer.preview.previews import Mixtures

    mixtures = Mixtures(options.root)
    if is_file(options.after):
        text, name = read_argument(options.after)
        changes = mixtures.compare_text(options.mixture, text, name)
    else:
        changes = mixtures.compare(options.mixture, options.after)
    print_changes(changes, options.json)
    return 0


def run_preview(options: argparse.Namespace) -> int:
    import msgspec

    from mixer.errors import MixtureError
    from mixer.preview.previews import Mixtures

    mixtures, horizon = Mixtures(options.root), horizon_of(options)
    where: dict[str, Any] = {"tokens": horizon, "run": options.of_run, "tokens_per_s": options.tokens_per_s}
    if is_file(options.mixture):
        if options.assignments or options.unset:
            raise MixtureError(f"{options.mixture}: --set and --unset change a version; change the file itself")
        text, name = read_argument(options.mixture)
        preview = mixtures.preview_text(text, name=name, **where)
    else:
        preview = mixtures.preview(options.mixture, settings=settings_of(options), **where)
    if options.json:
        print_json(msgspec.to_builtins(preview))
    else:
        print_preview(preview)
        if horizon is None:
            rest = "what is left of the run, or without num_steps " if options.of_run else ""
            print(f"\nThe horizon is {rest}one pass over what the streams hold; --tokens sets another.")
    return 0


def run_schema(options: argparse.Namespace) -> int:
    from mixer.mixture.grammar import schema

    print_json(schema())
    return 0


def horizon_of(options: argparse.Namespace) -> int | None:
    """The tokens that a preview is asked for, None where it chooses itself. Raises: MixtureError."""
    from mixer.mixture.mixture import count_tokens

    return None if options.tokens is None else count_tokens(options.tokens, "--tokens")


def is_file(word: str) -> bool:
    """Whether an argument names a file and no mixture, whose name has no slash and is no .toml."""
    return word == "-" or "/" in word or word.endswith(".toml")


def read_argument(file: str) -> tuple[str, str]:
    """(text, what errors call it) of a file or of standard input. Raises: MixtureError."""
    from mixer.commands.editor import read_text
    from mixer.errors import MixtureError
    from streamer.documents.toml_text import MOST_CHARACTERS

    if file != "-":
        return read_text(file), file
    try:
        return sys.stdin.read(MOST_CHARACTERS + 1), "standard input"
    except UnicodeDecodeError as error:
        raise MixtureError(f"standard input is not UTF-8: {error.reason}; send UTF-8") from error


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    from mixer.mixture.file import parse_assignment

    return {**dict(map(parse_assignment, options.assignments)), **dict.fromkeys(options.unset)}


def print_made(mixtures: "Mixtures", made: str, before: str | None, as_json: bool) -> None:
    """The version, and what it changes against the one before."""
    print_table([{"mixture": made}], as_json)
    if as_json:
        return
    if before == made:
        print(f"{made} already says the same")
    elif before is not None:
        print(f"\nagainst {before}:")
        print_changes(mixtures.compare(before, made), False)


def print_changes(changes: Sequence["ShareChange"], as_json: bool) -> None:
    import msgspec

    rows = [msgspec.to_builtins(change) for change in changes]
    if as_json:
        print_json(rows)
    elif rows:
        print_table([{**row, "change": row["after"] - row["before"]} for row in rows], False)
    else:
        print("no share differs")


def print_outlook(preview: "Preview", changes: Sequence["ShareChange"]) -> None:
    """What an edit would do, before it is applied."""
    print_preview(preview)
    print("\nagainst the version before:")
    print_changes(changes, False)


def print_preview(preview: "Preview") -> None:
    import msgspec

    from streamer.wording import duration

    print(headline(preview), end="\n\n")
    print_table([msgspec.to_builtins(row) for row in preview.components], False)
    if 1 < len(preview.keys) < len(preview.streams):
        print()
        print_table([msgspec.to_builtins(row) for row in preview.keys], False)
    print()
    streams = [msgspec.to_builtins(row) for row in preview.streams]
    first = ("stream", "share", "tokens", "passes", "max_passes", "unique_tokens", "dry_at_tokens")
    for row in streams:
        row["dry_in"], row["growth_tokens_per_s"] = duration(row["dry_in_s"]), round(row["growth_tokens_per_s"])
    print_table([{key: row[key] for key in (*first, "dry_in", "growth_tokens_per_s")} for row in streams], False)
    for dry in preview.dries[:MOST_REFUSALS]:
        print(f"\n{dry}.")
    if len(preview.dries) > MOST_REFUSALS:
        print(f"\n{len(preview.dries) - MOST_REFUSALS:,} other streams run dry too; --json has all.")
    if preview.ends is not None:
        print(f"\nAfter {preview.ends_at_tokens:,} tokens {preview.ends}.")
    if said := warn_of_passes(preview):
        print(f"\n{said}")
    for refusal in preview.refusals[:MOST_REFUSALS]:
        print(f"\nnot possible: {refusal.said}")
    if len(preview.refusals) > MOST_REFUSALS:
        print(f"\nnot possible of {len(preview.refusals) - MOST_REFUSALS:,} other streams either; --json has all")
    if preview.feasible is not None:
        print(f"\nAt these shares the caps allow {preview.feasible.tokens:,} tokens.")
        if preview.feasible.shares:
            print(f"The nearest shares that last {preview.tokens:,} tokens:")
            rows = zip(preview.streams, preview.feasible.shares.values(), strict=True)
            print_table([{"stream": row.stream, "share": row.share, "feasible": share} for row, share in rows], False)
        else:
            print("No shares last that long. Raise max_passes, or lower the horizon.")


def headline(preview: "Preview") -> str:
    """`m@2: 1.36M of 10M tokens, 240K of them seen before; the streams hold 1.12M`."""
    drawn = sum(row.tokens for row in preview.components)
    reached = preview.ends_at_tokens is None or not preview.tokens
    tokens = f"{short(preview.tokens)} tokens" if reached else f"{short(drawn)} of {short(preview.tokens)} tokens"
    repeated = f"{short(preview.repeated_tokens)} of them" if preview.repeated_tokens else "none of them"
    return f"{preview.mixture}: {tokens}, {repeated} seen before; the streams hold {short(preview.unique_tokens)}"


def warn_of_passes(preview: "Preview") -> str | None:
    """Names the streams that would be seen more often than repeating is known to pay."""
    often = [row for row in preview.streams if row.passes > MOST_PASSES]
    if not often:
        return None
    said = ", ".join(f"{row.stream} ({row.passes:.1f} times)" for row in often[:MOST_REFUSALS])
    more = f" and {len(often) - MOST_REFUSALS:,} other streams" if len(often) > MOST_REFUSALS else ""
    return (
        f"warning: more than {MOST_PASSES} passes over {said}{more}. A run learns little from further passes. Lower the "
        f"share, publish more, or set max_passes = {MOST_PASSES}"
    )
