"""What a whole ingest finds of planted files: near-duplicates, solutions of benchmarks in all languages, and secrets.

    python -m benchmarks.planted SOURCE... [--benchmarks FOLDER]

The files of the sources are written again beside planted ones, and `phasemix corpus ingest` makes a corpus of them in a new
root, which tells what became of each: 50 copies of each of eight kinds; of the benchmarks 200 tasks as published and 200
solutions without comments, each inside a file of the sources, verbatim, renamed or reformatted, and 200 more of shorter
solutions; 5 secrets of each kind in files that are there anyway. Shorter solutions and copies with a fifth of the names
or more changed are reported without a target. Other files that are dropped for a benchmark, or that have a secret replaced,
are printed, to be judged.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.corpus import ingest
from benchmarks.filters import judge
from benchmarks.near_duplicates import EACH, File, is_host, ours, planted
from benchmarks.planted_copies import COPIES, FAR_COPIES
from benchmarks.planted_languages import CHANGES, Published, code_alone, inside, read_published
from benchmarks.planted_secrets import ALL_KINDS, plant
from benchmarks.repeated_files import write_rows
from benchmarks.report import Report, show
from benchmarks.secrets import longest_line
from streamer.catalog.catalog import Catalog
from streamer.commands.table import print_table
from streamer.corpus.recipe import Source
from streamer.corpus.rejected import read_rejected
from streamer.corpus.sources.ingest import read_source
from streamer.corpus.sources.raw_file import RawFile
from streamer.documents.notebooks import NOTEBOOK
from streamer.documents.text import DropReason
from streamer.gates.filters import Filters, LanguageGates
from streamer.gates.subject import Subject
from streamer.likeness.decontamination import Decontamination
from streamer.privacy.replacing import read_counts
from streamer.privacy.span import Kind

OF_FORM, OF_SECRET, ORDINARY_FILES = 200, 5, 20_000
PUBLISHED, ALONE, SHORTER = "as published", "code alone", "code alone, shorter"
REPOSITORY = "zz-planted"  # behind all others by name, so that of two copies the planted one is dropped
COPY_REASONS = (DropReason.EXACT_DUPLICATE, DropReason.NEAR_DUPLICATE)
RECIPE = """seq_len = 2048
heldout_share = 0
annotator_model = "ngrams"
[[sources]]
path = "{}"
[decontamination]
sets = ["{}/*/*.jsonl.gz"]
"""
Row = tuple[str, str, str, str, str]


class Host(NamedTuple):
    """A file of the sources and its text, once notebooks are read."""

    file: RawFile
    language: str
    text: str


class Planted(NamedTuple):
    """What a planted file has: `what` of it, in which `kind` of change, and the language; `task` of a benchmark."""

    what: str
    kind: str
    language: str
    task: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="folders, archives and Parquet files of real files")
    parser.add_argument("--benchmarks", type=Path, default=Path("../shared/data/benchmarks"), metavar="FOLDER")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    files = [file for path in args.sources for file in read_source(Source(path=path), seed=args.seed)]
    hosts = new_hosts(files)
    chance.shuffle(hosts)
    rows: dict[tuple[str, str], Planted] = {}
    with tempfile.TemporaryDirectory(prefix="phasemix-benchmark-") as folder:
        sources, recipe, root = (Path(folder, name) for name in ("sources", "recipe.toml", "root"))
        sources.mkdir()
        copies = [*planted_copies(take(hosts, EACH * len({**COPIES, **FAR_COPIES})), chance)]
        tasks = [*planted_tasks([*read_published(args.benchmarks)], hosts, chance)]
        added = [*to_rows([*copies, *tasks], rows)]
        secrets = dict(planted_secrets(hosts, chance))
        write_rows([*map(row_of, files), *added], sources / "files.parquet")
        recipe.write_text(RECIPE.format(sources, args.benchmarks.absolute()))
        command = [sys.executable, "-m", "phasemix", "corpus", "ingest", "--recipe", str(recipe), "--root", str(root)]
        report, _ = ingest([*command, "--workers", str(args.workers), "--json"])
        catalog = Catalog(str(root))
        found = what_became(catalog, report)
        texts, false = look_for_secrets(catalog, report, set(secrets), set(rows))
    return tell(rows, found, secrets, texts, false, len(files), as_json=args.json)


def new_hosts(files: list[RawFile]) -> list[Host]:
    """The files that an ingest keeps and that have no copy, of a size to plant in."""
    gates, hosts = LanguageGates(Filters()), []
    for file in files:
        subject, refusal = judge(file, gates)
        if subject is not None and refusal is None and subject.language != NOTEBOOK:
            hosts.append(Host(file, subject.language, subject.text))
    as_files = [File(host.language, host.text) for host in hosts]
    is_new = ~ours(as_files)
    return [host for host, file, new in zip(hosts, as_files, is_new, strict=True) if new and is_host(file)]


def take(hosts: list[Host], count: int) -> list[Host]:
    """Takes so many hosts away from the end."""
    taken = hosts[-count:]
    del hosts[-count:]
    return taken


def planted_copies(hosts: list[Host], chance: random.Random) -> Iterator[tuple[Host, str, Planted]]:
    copies = planted([File(host.language, host.text) for host in hosts], chance)
    for host, copy in zip(hosts, copies, strict=True):
        yield host, copy.text, Planted("copy", copy.copy_of, host.language)


def planted_tasks(
    published: list[Published], hosts: list[Host], chance: random.Random
) -> Iterator[tuple[Host, str, Planted]]:
    """Tasks of every form, kind of change and language in turn, each inside a file of its language."""
    by_language = defaultdict(list)
    for host in hosts:
        by_language[host.language].append(host)
    least = Decontamination().min_words
    forms = {
        PUBLISHED: published,
        ALONE: [one for one in published if one.has_solution and one.words >= least],
        SHORTER: [one for one in published if one.has_solution and one.words < least],
    }
    for form, chosen in forms.items():
        whole = {one.language for one in chosen if one.has_solution}  # prompts alone where a language has no solution
        of_language: dict[str, list[Published]] = defaultdict(list)
        for one in chance.sample(chosen, len(chosen)):
            if one.has_solution or one.language not in whole:
                of_language[one.language].append(one)
        for number in range(OF_FORM):
            kind = list(CHANGES)[number % len(CHANGES)]
            left = sorted(language for language, ones in of_language.items() if ones)
            language = left[number // len(CHANGES) % len(left)]
            one = of_language[language].pop()
            text = one.text if form == PUBLISHED else code_alone(one.text, language)
            host = chance.choice(by_language[language])
            text = inside(CHANGES[kind](text, language, chance), host.text, language, chance)
            yield host, text, Planted(form, kind, language, one.name)


def planted_secrets(hosts: list[Host], chance: random.Random) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Changes files: by repository and path, the kind of the secret that each has, and the secret."""
    gates = LanguageGates(Filters())
    for kind in ALL_KINDS * OF_SECRET:
        secret, line = plant(kind, chance)
        is_planted = False
        while not is_planted:  # a key of many lines in a string of one is no code any more
            (host,) = take(hosts, 1)
            lines = host.text.splitlines()
            place = chance.randrange(len(lines) + 1)
            text = "\n".join([*lines[:place], line, *lines[place:]])
            subject = Subject(text, language=host.language, path=host.file.path, repository=host.file.repository)
            is_planted = gates.judge(subject) is None
        host.file.data = text.encode()
        yield (host.file.repository, host.file.path), (kind, secret)


def to_rows(added: Iterable[tuple[Host, str, Planted]], rows: dict[tuple[str, str], Planted]) -> Iterator[Row]:
    """Rows of planted files; what each has is noted in `rows` by repository and path."""
    for number, (host, text, what) in enumerate(added):
        path = f"{number:04d}/{Path(host.file.path).name}"
        rows[REPOSITORY, path] = what
        yield text, path, REPOSITORY, host.file.language or "", host.file.license


def row_of(file: RawFile) -> Row:
    return file.data.decode("utf-8", "replace"), file.path, file.repository, file.language or "", file.license


def what_became(catalog: Catalog, report: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """The records of the files that were dropped, by repository and path."""
    return {
        (record.repository, record.path): record
        for reason, count in report["dropped"].items()
        for record in read_rejected(catalog.store, report["build"], reason, count)
    }


def look_for_secrets(
    catalog: Catalog, report: dict[str, Any], secrets: set[tuple[str, str]], rows: set[tuple[str, str]]
) -> tuple[dict[tuple[str, str], str], list[dict[str, str]]]:
    """The texts that had a secret planted, by repository and path, and other files in which one was replaced."""
    texts, false = {}, []
    for language in report["languages"]:
        for one in catalog.documents(f"documents/{language}"):
            place = (one.repository, one.path)
            if place in secrets:
                texts[place] = one.text
            elif place not in rows and read_counts(one.replaced).keys() & {Kind.KEY, Kind.PASSWORD}:
                false.append({"file": f"{one.repository}: {one.path}", "replaced": one.replaced})
    return texts, false


def tell(
    rows: dict[tuple[str, str], Planted],
    found: dict[tuple[str, str], Any],
    secrets: dict[tuple[str, str], tuple[str, str]],
    texts: dict[tuple[str, str], str],
    false: list[dict[str, str]],
    files: int,
    *,
    as_json: bool,
) -> int:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    missed = []
    for place, what in rows.items():
        reason = found[place].reason if place in found else "kept"
        is_hit = reason in COPY_REASONS if what.what == "copy" else reason == DropReason.CONTAMINATED
        for key in ((what.what, what.kind), (what.what, what.language)) if what.task else ((what.what, what.kind),):
            counts[key].update(planted=1, found=is_hit)
        if not is_hit:
            missed.append({**what._asdict(), "host": Path(place[1]).name, "became": reason})
    for place, (kind, secret) in secrets.items():
        text = texts.get(place)
        is_gone = text is not None and secret not in text and longest_line(secret) not in text
        counts["secret", kind].update(planted=1, found=is_gone)
        if not is_gone:
            missed.append(
                {"what": "secret", "kind": kind, "host": place[1], "became": "kept" if text else found[place].reason}
            )
    hits = [
        {"file": f"{record.repository}: {record.path}", **record.values}
        for place, record in found.items()
        if record.reason == DropReason.CONTAMINATED and place not in rows
    ]
    table = [{"what": what, "kind": kind, **count} for (what, kind), count in counts.items()]
    shares = {key: count["found"] / count["planted"] for key, count in counts.items()}
    figures = {
        "least_copies": min(shares["copy", kind] for kind in COPIES),
        "verbatim": min(shares[form, "verbatim"] for form in (PUBLISHED, ALONE)),
        "changed": min(shares[form, kind] for form in (PUBLISHED, ALONE) for kind in CHANGES if kind != "verbatim"),
        "secrets": min(shares["secret", kind] for kind in ALL_KINDS),
        "hits_in_ordinary": len(hits),
        "secrets_in_ordinary": len(false),
    }
    targets = {"least_copies": (">=", 0.95), "verbatim": (">=", 1.0), "changed": (">=", 0.95), "secrets": (">=", 1.0),
               "hits_in_ordinary": ("<=", max(1.0, files / ORDINARY_FILES)),
               "secrets_in_ordinary": ("<=", 5 * files / 1000)}  # fmt: skip
    if not as_json:
        print_table([{"task": "", "language": "", **one} for one in missed], False)
        print_table(hits, False)
        print_table(false, False)
    title = f"Planted among {files:,} files of the sources"
    return show(
        Report(title, table, {**figures, "missed": missed, "hits": hits, "false_secrets": false}, targets), as_json=as_json
    )


if __name__ == "__main__":
    sys.exit(main())
