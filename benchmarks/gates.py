"""The gates of the generator pool: what they catch of bad answers, what they refuse of good files, files a second.

The bad answers are made from real files, `EACH` of a kind and language, by fixed seeds; those of another language are real
files of each other language in a block without a name. Good are files that the corpus's filters keep, of at least 40 words
of code, without templates and without the fixtures of syntax highlighters, that `detect` takes for their language. Each is
wrapped as an answer, and has a file of another repository as its seed. A core's rate is of processor time, for files near
4 KB.
"""

import argparse
import base64
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from benchmarks.report import Report, show
from generators.engines.rule_based import NAMES
from generators.gates.gates import judge
from generators.gates.substance import code_size
from generators.queue.job import Completion, Job, Reason, Verdict
from streamer.documents.languages import LANGUAGES, detect
from streamer.documents.notebooks import NOTEBOOK, as_script
from streamer.gates.filters import Filters, LanguageGates
from streamer.gates.subject import Subject
from streamer.gates.syntax import parser
from streamer.likeness.code_views import bare_code
from streamer.likeness.code_words import KEYWORDS

SEED, EACH, MAX_TOKENS = 5, 30, 4096
SHORTEST, LONGEST, LEAST_CODE = 400, 12_000, 40
NEAR_4_KB = range(2500, 6000)
TEMPLATE = re.compile(r"\{%|\{\{ |\bexamplefiles\b")
PARTS_OF_OTHERS = {("c", "cpp"), ("javascript", "typescript"), ("python", NOTEBOOK), (NOTEBOOK, "python")}
OPENS = re.compile(r"(?!\s*(?://|\*|#|/\*)).*\S.*\{\s*$|\s*def \w+")
FENCE = "`````"
APOLOGY = "I am sorry, but I cannot write the {} file that you ask for. It would need more than I know of the task."
COMMENT = {"python": "#", "ruby": "#", "shell": "#", NOTEBOOK: "#", "sql": "--"}
BODIES = {
    "python": "def {}(first, second):\n    pass\n",
    "ruby": "def {}(first, second)\n  raise NotImplementedError\nend\n",
}
BRACED = "{}(first, second) {{\n    // to be written\n}}\n"
STUBS = {
    **dict.fromkeys(("c", "cpp"), "int " + BRACED), **dict.fromkeys(("javascript", "php"), "function " + BRACED),
    **BODIES, NOTEBOOK: BODIES["python"],
    "typescript": "function {}(first: number, second: number): number {{\n    // soon\n}}\n",
    "go": 'func {}(first int, second int) int {{\n\tpanic("to be written")\n}}\n',
    "dart": "int {}(int first, int second) {{\n  // soon\n}}\n",
    "rust": "fn {}(first: i64, second: i64) -> i64 {{\n    todo!()\n}}\n",
    "shell": "{}() {{\n  # to be written\n}}\n",
    "swift": 'func {}(first: Int, second: Int) -> Int {{\n    fatalError("soon")\n}}\n',
    "kotlin": "fun {}(first: Int, second: Int): Int {{\n    TODO()\n}}\n",
    "scala": "object A{0} {{\n  def {0}(first: Int, second: Int): Int = {{\n    ???\n  }}\n}}\n",
    "java": "class A{0} {{\n    int {0}(int first, int second) {{\n        throw new RuntimeException();\n    }}\n}}\n",
    "csharp": "class A{0} {{\n    int {0}(int first, int second) {{\n        throw new SoonException();\n    }}\n}}\n",
}  # fmt: skip


class File(NamedTuple):
    """A real file, and one of another repository that stands for its seed."""

    text: str
    seed: str


def good_files(folder: Path, language: str) -> list[File]:
    """The good files of a language in a random order, notebooks as they are."""
    rows = pq.read_table(folder / f"{language}.parquet", columns=["content", "path", "repo_name"]).to_pylist()
    random.Random(SEED).shuffle(rows)
    gates, found = LanguageGates(Filters()), list[tuple[str, str]]()
    for row in rows:
        text, path = row["content"], row["path"]
        if not SHORTEST <= len(text) <= LONGEST or TEMPLATE.search(path) or TEMPLATE.search(text):
            continue
        script, grammar = (as_script(text), "python") if language == NOTEBOOK else (text, language)
        subject = Subject(script, language=language, path=path, repository=row["repo_name"])
        size = code_size(bare_code(script.encode(), grammar))
        if size >= LEAST_CODE and detect(path, text) in (None, language) and gates.judge(subject) is None:
            found.append((text, row["repo_name"]))
    seeds = {repository: next((text for text, other in found if other != repository), "") for _, repository in found}
    return [File(text, seeds[repository]) for text, repository in found]


def fenced(text: str, info: str = "") -> str:
    return f"Here is the file:\n\n{FENCE}{info}\n{text}\n{FENCE}\n"


def ask(language: str, answer: str, seed: str, *, finish_reason: str = "stop") -> Verdict:
    job = Job(language=language, seed_document="s", recipe="r", model="m", index=0, text=seed, purpose="order/0")
    return judge(job, Completion(text=answer, finish_reason=finish_reason, tokens=1), max_tokens=MAX_TOKENS)


def broken_off(text: str, chooser: random.Random) -> str:
    """A file that breaks off behind a line that opens something; a short one within a parenthesis."""
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if OPENS.match(line)]
    return "".join(lines[: chooser.choice(places[len(places) // 3 :]) + 1]) if places else f"{text.rstrip()}\n(((\n"


def renamed(text: str, language: str) -> str:
    """A file with other names for all of its names but those that are keywords of some language."""
    script, grammar = (as_script(text), "python") if language == NOTEBOOK else (text, language)
    source, out, place = script.encode(), list[bytes](), 0
    waiting, names = [parser(grammar).parse(source).root_node], dict[bytes, bytes]()
    while waiting:
        node = waiting.pop()
        old = source[node.start_byte : node.end_byte]
        if node.child_count == 0 and node.type in NAMES and old.decode("utf-8", "replace").lower() not in KEYWORDS:
            ending = old[-1:] if old.endswith((b"?", b"!")) else b""
            out += [
                source[place : node.start_byte],
                names.setdefault(old, f"{'Other' if old[:1].isupper() else 'other'}{len(names)}".encode()) + ending,
            ]
            place = node.end_byte
        waiting += reversed(node.children)
    return b"".join([*out, source[place:]]).decode("utf-8", "replace")


def bad_answers(language: str, file: File, other: File, chooser: random.Random) -> Iterator[tuple[str, str, str]]:
    """(kind, answer, seed) of each kind, made from a file; `other` is one more file of the language."""
    text, seed = file
    mark = COMMENT.get(language, "//")
    start = "<?php\n" if language == "php" else ""
    line = next((line for line in text.splitlines() if len(line.strip()) > 20), text[:40])
    yield "apology", APOLOGY.format(language), seed
    yield "apology in a block", fenced(APOLOGY.format(language)), seed
    yield "usage alone", fenced("pip install it\nit --help", "console"), seed
    yield "two files", fenced(text, language) + fenced(other.text, language), seed
    yield "thinking without an end", f"<think>\n{fenced(text, language)}", seed
    yield "cut off", text[: len(text) // 2], seed
    if language not in (NOTEBOOK, "sql", "python", "shell"):  # what is left of these is often whole
        yield "broken off", fenced(broken_off(text, chooser), language), seed
    yield "comments alone", fenced(start + f"{mark} What is to be written here, and how it is done.\n" * 40), seed
    yield "a word", fenced(start + chooser.choice(re.findall(r"\w{4,}", text))), seed
    if language != "sql":
        yield "stubs", fenced(start + "\n".join(STUBS[language].format(f"part{name}") for name in "abcdef")), seed
    yield "1,500 equal lines", fenced(start + f"{line}\n" * 1500), seed
    yield "again and again", fenced(start + as_script(text)[:600] * 60), seed
    yield "a comment of 5 MB", fenced(as_script(text) + f"{mark} {'more of it ' * 500_000}\n"), seed
    data = base64.b64encode(chooser.randbytes(8000)).decode()
    yield "encoded data", fenced(as_script(text)[:500] + f"\n{mark} {data}\n"), seed
    yield "its seed", fenced(text, "json" if language == NOTEBOOK else language), text
    yield "its seed, its end cut", fenced(as_script(text), language), as_script(text) + as_script(other.text)
    yield "its seed renamed", fenced(renamed(text, language)), text


def measure(folder: Path, count: int) -> Report:
    files = {language: good_files(folder, language) for language in LANGUAGES}
    rows, caught, asked = [*refused_rows(files, count)], Counter[str](), Counter[str]()
    false = rows[-1]["refused"]
    least, chooser = 100.0, random.Random(SEED)
    kinds: dict[str, Counter[str]] = {}
    for language, own in files.items():
        for number in range(EACH):
            file, other = own[number % len(own)], own[(number + 7) % len(own)]
            for kind, answer, seed in bad_answers(language, file, other, chooser):
                finish_reason = "length" if kind == "cut off" else "stop"
                is_caught = not ask(language, answer, seed, finish_reason=finish_reason).accepted
                caught[kind] += is_caught
                asked[kind] += 1
                kinds.setdefault(language, Counter())[kind] += is_caught
                kinds[language]["asked " + kind] += 1
    for kind, total in asked.items():
        shares = {
            name: 100 * own[kind] / own[f"asked {kind}"] for name, own in kinds.items() if own[f"asked {kind}"] >= EACH // 3
        }
        worst = min(shares, key=lambda name: shares[name])
        least = min(least, shares[worst])
        rows.append(row(kind, total, caught=percent(caught[kind], total), least=round(shares[worst], 1), of=worst))
    languages = [*language_rows(files)]
    rate = files_per_core_s(files)
    figures = {
        "false_percent": false,
        "least_caught_percent": least,
        "least_language_percent": min(one["caught"] for one in languages),
        "files_per_core_s": rate,
    }
    targets: dict[str, tuple[str, float]] = {
        "false_percent": ("<=", 2.0), "least_caught_percent": (">=", 95.0), "least_language_percent": (">=", 95.0),
        "files_per_core_s": (">=", 400.0),
    }  # fmt: skip
    return Report(f"gates over {folder.name}, {EACH} bad answers of a kind and language", rows + languages, figures, targets)


def refused_rows(files: dict[str, list[File]], count: int) -> Iterator[dict[str, Any]]:
    """What is refused of good files, by language and of all."""
    total, refused = 0, 0
    for language, own in files.items():
        info = "json" if language == NOTEBOOK else language
        chosen = own[:count]
        reasons = Counter[Reason | None](ask(language, fenced(text, info), seed).reason for text, seed in chosen)
        del reasons[None]
        total, refused = total + len(chosen), refused + reasons.total()
        said = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
        yield row(f"good {language}", len(chosen), refused=percent(reasons.total(), len(chosen)), of=said)
    yield row("good files", total, refused=percent(refused, total))


def language_rows(files: dict[str, list[File]]) -> Iterator[dict[str, Any]]:
    """What is caught of files of other languages, by the one that was asked for; parts of it are counted apart."""
    for language in LANGUAGES:
        found: dict[bool, list[bool]] = {True: [], False: []}
        for other, own in files.items():
            if other != language:
                found[(other, language) in PARTS_OF_OTHERS] += [
                    not ask(language, fenced(text), seed).accepted for text, seed in own[:EACH]
                ]
        parts, rest = found[True], found[False]
        of = f"{percent(sum(parts), len(parts))} of its part" if parts else ""
        yield row(f"files that are not {language}", len(rest), caught=percent(sum(rest), len(rest)), of=of)


def files_per_core_s(files: dict[str, list[File]]) -> float:
    """How many good files near 4 KB all gates judge in a second of a core."""
    chosen = [
        (language, fenced(file.text), file.seed)
        for language, own in files.items()
        for file in [file for file in own if len(file.text) in NEAR_4_KB][:EACH]
    ]
    work: Callable[[], list[Verdict]] = lambda: [ask(*one) for one in chosen]  # noqa: E731
    work()
    start_s = time.process_time()
    work()
    return round(len(chosen) / (time.process_time() - start_s))


def row(
    what: str,
    answers: int,
    *,
    refused: float | None = None,
    caught: float | None = None,
    least: float | None = None,
    of: str = "",
) -> dict[str, Any]:
    """A row of the table: percentages, of which language or for which reasons."""
    return {"what": what, "answers": answers, "refused": refused, "caught": caught, "least": least, "of": of}


def percent(part: int, total: int) -> float:
    return round(100 * part / max(1, total), 1)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="a folder with LANGUAGE.parquet for each language")
    options.add_argument("--files", type=int, default=130, help="good files of a language at most (default: 130)")
    options.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    chosen = options.parse_args()
    return show(measure(chosen.folder, chosen.files), as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
