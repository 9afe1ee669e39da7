"""What the filters of a corpus refuse of given folders, archives and Parquet files: files and bytes by reason, and samples.

To be judged by a person: `--show generated --sample 50` prints so many files of a reason, evenly spread, with their first
lines and what was measured; `--show kept` those that pass.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from streamer.corpus.recipe import Source
from streamer.corpus.rejected import spread
from streamer.corpus.sources.ingest import read_source
from streamer.corpus.sources.raw_file import RawFile
from streamer.documents.languages import detect, key_of
from streamer.documents.notebooks import NOTEBOOK, read_notebook
from streamer.documents.text import DropReason, decode
from streamer.gates.filters import Filters, LanguageGates
from streamer.gates.origin import Sources
from streamer.gates.subject import Refusal, Subject

KEPT = "kept"


def judge(file: RawFile, gates: LanguageGates) -> tuple[Subject | None, Refusal | None]:
    """What a file is, and why it is refused."""
    found = file.fault or decode(file.data)
    if isinstance(found, DropReason):
        return None, Refusal(reason=found)
    text = found.text
    language = (key_of(file.language) if file.language else None) or detect(file.path, text)
    if language is None:
        return None, Refusal(reason=DropReason.UNKNOWN_LANGUAGE)
    if language == NOTEBOOK:
        book = read_notebook(text)
        if isinstance(book, DropReason):
            return None, Refusal(reason=book)
        text = book
    subject = Subject(text, language=language, path=file.path, repository=file.repository)
    return subject, gates.judge(subject)


def read_all(sources: list[str]) -> Iterator[RawFile]:
    for source in sources:
        yield from read_source(Source(path=source, repository=Path(source).name), seed=1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--show", metavar="REASON", help="print files of a reason")
    parser.add_argument("--language", help="print those of a language alone")
    parser.add_argument("--sample", type=int, default=50)
    parser.add_argument("--lines", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    gates, files, sizes = LanguageGates(Filters()), Counter[str](), Counter[str]()
    shown: list[tuple[Subject, Refusal | None]] = []
    kept: list[Subject] = []
    paths: list[tuple[str, str]] = []
    start_s = time.perf_counter()
    for file in read_all(args.sources):
        size = len(file.data)
        subject, refusal = judge(file, gates)
        reason = refusal.reason.value if refusal else KEPT
        files[reason] += 1
        sizes[reason] += size
        if subject is not None and (refusal is None or subject.language == "javascript"):
            paths.append((subject.repository, subject.path))
        if subject is not None and refusal is None:
            kept.append(subject)
        if subject is not None and reason == args.show and args.language in (None, subject.language):
            shown.append((subject, refusal))
    seconds = time.perf_counter() - start_s
    sources = Sources(paths)
    compiled = [subject for subject in kept if sources.source_of(subject)]
    files["build_output, by its source"] = len(compiled)
    sizes["build_output, by its source"] = sum(len(subject.text) for subject in compiled)
    files[KEPT] -= len(compiled)
    rows = {reason: {"files": files[reason], "mb": round(sizes[reason] / 1e6, 2)} for reason in sorted(files)}
    if args.json:
        json.dump({"seconds": round(seconds, 1), "reasons": rows}, sys.stdout)
        return 0
    for reason, row in rows.items():
        print(f"{reason:30} {row['files']:8,} {row['mb']:10,.2f} MB")
    print(f"{sum(sizes.values()) / 1e6 / seconds:.1f} MB/s")
    for place in spread(len(shown), args.sample):
        subject, refusal = shown[place]
        print(f"\n#### {subject.repository}: {subject.path} ({subject.language}) {refusal.values if refusal else ''}")
        print("\n".join(f"    {line[:130]}" for line in subject.lines[: args.lines]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
