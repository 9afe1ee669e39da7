"""Secrets planted in real files: how many are found, what is taken for one in the files as they are, and MB/s of a core.

Found: nothing of the secret is left in the text. False: a key or a password that was replaced in a file in which nothing was
planted; each is printed, to be judged by a person. The files are 1,000 of this environment, chosen at random.
"""

import random
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.planted_secrets import ALL_KINDS, plant
from benchmarks.report import Report
from benchmarks.report import main as report_main
from streamer.documents.languages import detect
from streamer.privacy.addresses import find_addresses
from streamer.privacy.emails import find_emails
from streamer.privacy.replacing import Privacy, replace
from streamer.privacy.scanner import find_secrets
from streamer.privacy.span import Kind

FILES, OF_EACH, SEED = 1000, 5, 5
SMALLEST, LARGEST = 200, 500_000


def real_files() -> Iterator[tuple[Path, str]]:
    """Source files of the standard library and of installed packages, in a random order."""
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")}
    found = {path for folder in folders for path in folder.rglob("*") if path.suffix and detect(path.name, "") is not None}
    paths = sorted(path for path in found if path.is_file() and SMALLEST <= path.stat().st_size <= LARGEST)
    random.Random(SEED).shuffle(paths)
    for path in paths:
        try:
            yield path, path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


def measure() -> Report:
    files = [file for file, _ in zip(real_files(), range(FILES), strict=False)]
    replace("", Privacy())  # compiles the rules
    rows = [*find_planted(files)]
    found, planted = (sum(row[name] for row in rows) for name in ("found", "planted"))
    counts, false = Counter[Kind](), 0
    for path, text in files:
        replaced = replace(text, Privacy())
        counts += replaced.counts
        secrets = replaced.counts[Kind.KEY] + replaced.counts[Kind.PASSWORD]
        if secrets:
            print(f"to be judged: {path}: {text_of(text)}", file=sys.stderr)
        false += secrets
    rows += [{"what": f"{kind} in the files as they are", "found": counts[kind]} for kind in Kind]
    rows += [*rates([text for _, text in files])]
    figures = {"found_share": found / planted, "false_secrets": false, "mb_per_core_s": rows[-1]["mb_per_core_s"]}
    targets = {"found_share": (">=", 1.0), "false_secrets": ("<=", 5.0), "mb_per_core_s": (">=", 10.0)}
    return Report(f"secrets in {FILES:,} files, {OF_EACH} of a kind planted", rows, figures, targets)


def find_planted(files: list[tuple[Path, str]]) -> Iterator[dict[str, Any]]:
    chooser = random.Random(SEED)
    for kind in ALL_KINDS:
        found = 0
        for _ in range(OF_EACH):
            _, text = chooser.choice(files)
            lines = text.splitlines()
            secret, planted = plant(kind, chooser)
            place = chooser.randrange(len(lines) + 1)
            result = replace("\n".join([*lines[:place], planted, *lines[place:]]), Privacy())
            found += secret not in result.text and longest_line(secret) not in result.text
        yield {"what": kind, "planted": OF_EACH, "found": found, "mb_per_core_s": None}


def longest_line(secret: str) -> str:
    return max(secret.splitlines(), key=len)


def text_of(text: str) -> list[str]:
    return [text[span.start : span.end][:60] for span in find_secrets(text)]


def rates(texts: list[str]) -> Iterator[dict[str, Any]]:
    """Megabytes a second of one core, by processor time, since other work may run beside."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    steps: dict[str, Callable[[str], object]] = {
        "secrets alone": find_secrets,
        "e-mail addresses alone": lambda text: list(find_emails(text)),
        "IP addresses alone": lambda text: list(find_addresses(text)),
        "all": lambda text: replace(text, Privacy()),
    }
    for name, step in steps.items():
        start_s = time.process_time()
        for text in texts:
            step(text)
        yield {"what": name, "mb_per_core_s": round(size / (time.process_time() - start_s), 1)}


if __name__ == "__main__":
    sys.exit(report_main(measure, __doc__))
