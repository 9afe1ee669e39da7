"""What decontamination finds of 200 planted solutions, what it finds in ordinary files, and how long it takes.

    python -m benchmarks.decontamination SOURCE... [--benchmarks FOLDER]

The planted ones are of HumanEval+, MBPP+, EvoEval and BigCodeBench: 50 verbatim, 50 renamed, 50 reformatted, 50 inside of
larger files, with their prompts as published; and again as code alone, without docstrings and comments, by length. The
index is of all benchmarks below FOLDER. Every hit in an ordinary file is printed, for a person to judge.
"""

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.filters import judge, read_all
from benchmarks.planted_tasks import plant, whole_text, without_words
from streamer.commands.table import print_table
from streamer.corpus.steps.reading import BATCH_DOCUMENTS
from streamer.gates.filters import Filters, LanguageGates
from streamer.likeness.code_views import bare_code, structure
from streamer.likeness.contamination import Contamination
from streamer.likeness.decontamination import Decontamination, read_sets

SETS = (
    "evalplus/HumanEvalPlus", "evalplus/MbppPlus", "bigcodebench/BigCodeBench", "evoeval/EvoEval_difficult",
    "evoeval/EvoEval_creative", "evoeval/EvoEval_subtle", "evoeval/EvoEval_combine", "evoeval/EvoEval_tool_use",
)  # fmt: skip
EACH = 50
PAGE = 4096
TARGETS = {"verbatim": 1.0, "renamed": 0.95, "reformatted": 0.95, "inside a larger file": 0.95}
MOST_US, ORDINARY_FILES = 200, 20_000


def published(folder: Path) -> dict[str, str]:
    """The texts of the tasks that are planted, by set and name."""
    found = {}
    for name in SETS:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt") as file:
            for row in map(json.loads, file):
                text = whole_text(row)
                try:
                    without_words(text)
                except SyntaxError:  # a few tasks of EvoEval do not parse as they were published
                    continue
                found[f"{name}: {row['task_id']}"] = text
    return found


def planted_rows(contamination: Contamination, texts: dict[str, str], about: str) -> Iterator[dict[str, Any]]:
    for kind, planted in plant(texts, random.Random(15), min(EACH, len(texts) // 4)).items():
        missed = [one.task for one in planted if contamination.find(one.text, "python") is None]
        share = 1 - len(missed) / len(planted)
        yield {"planted": about, "kind": kind, "files": len(planted), "found": share, "missed": ", ".join(missed[:4])}


def word_count(text: str) -> int:
    return len(structure(bare_code(text.encode(), "python")))


def read_ordinary(sources: list[str]) -> Iterator[tuple[str, str, str]]:
    """(name, language, text) of the different files that the filters of a corpus let pass."""
    gates, seen = LanguageGates(Filters()), set()
    for file in read_all(sources):
        subject, refusal = judge(file, gates)
        if subject is not None and refusal is None and hash(subject.text) not in seen:
            seen.add(hash(subject.text))
            yield f"{subject.repository}: {subject.path}", subject.language, subject.text


def microseconds(contamination: Contamination, texts: list[tuple[str, str]]) -> float:
    """Of the processor, for a document of 4 KB: the least of five rounds, with as many at once as in an ingest."""
    rounds = []
    for _ in range(5):
        start_s = time.process_time()
        for first in range(0, len(texts), BATCH_DOCUMENTS):
            contamination.find_all(*zip(*texts[first : first + BATCH_DOCUMENTS], strict=True))
        rounds.append(time.process_time() - start_s)
    return 1e6 * min(rounds) / len(texts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="folders, archives and Parquet files of ordinary files")
    parser.add_argument("--benchmarks", type=Path, default=Path("../shared/data/benchmarks"), metavar="FOLDER")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    start_s = time.perf_counter()
    wanted = Decontamination(sets=(f"{args.benchmarks}/*/*.jsonl.gz",))
    contamination = Contamination(read_sets(wanted))
    index_s = time.perf_counter() - start_s
    texts = published(args.benchmarks)
    bare = {name: without_words(text) for name, text in texts.items()}
    rows = list(planted_rows(contamination, texts, "as published"))
    for about, chosen in (
        (
            f"code alone, {wanted.min_words} words or more",
            {n: t for n, t in bare.items() if word_count(t) >= wanted.min_words},
        ),
        ("code alone, shorter", {n: t for n, t in bare.items() if word_count(t) < wanted.min_words}),
    ):
        rows += planted_rows(contamination, chosen, about)
    files, hits, pages = 0, [], []
    for name, language, text in read_ordinary(args.sources):
        files += 1
        found = contamination.find(text, language)
        if found is not None:
            hits.append({"file": name, **found._asdict()})
        if len(text) >= PAGE and files % 20 == 0:
            pages.append((text[:PAGE], language))
    figures: dict[str, Any] = {"index_s": index_s, "files": files, "hits": len(hits)}
    if pages:
        figures["us_for_4_kb"] = microseconds(contamination, pages[:500])
    met = all(row["found"] >= TARGETS[row["kind"]] for row in rows if row["planted"] == "as published")
    met &= figures.get("us_for_4_kb", 0) <= MOST_US and len(hits) <= max(1, files / ORDINARY_FILES)
    if args.json:
        json.dump({**figures, "met": met, "rows": rows, "hits_found": hits}, sys.stdout, indent=1)
    else:
        print_table(rows, as_json=False)
        print(f"\n{len(hits)} hits in {files:,} ordinary files; index of the benchmarks in {index_s:.1f} s")
        print_table(hits, as_json=False)
        print(f"{figures.get('us_for_4_kb', 0):.0f} us for a document of 4 KB; targets {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
