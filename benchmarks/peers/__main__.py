"""Rows a second and fidelity of every loader on the same mixing work, in one table.

Four streams in shares of 50, 30, 15 and 5 %, rows of 8,192 uint16 tokens, a warm page cache. Ratios compare like with like:
no workers with no workers, two with two, each the median of rounds in which the loaders take turns. Fidelity is judged by
the batches that each loader returns:

- `worst_error`: samples from the cumulative target, the worst of all streams after any batch;
- `repeats_%`: rows drawn again before their stream's pass had ended; `lost_%`: rows not drawn in two passes;
- `after_change_%`: draws that repeat a row of the open pass after the shares were changed in the way that the loader offers;
- `same_batches_%`: global batches that two ranks draw as one rank does;
- `first_batch_s`: of `first_samples` samples, fewer where writing ten million would take hours.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import Report, main

NAMES = ("phasemix", "StreamingDataset", "grain", "torchdata nodes", "litData", "webdataset", "Energon")
FIRST_SAMPLES = {"litData": 1_000_000, "webdataset": 100_000, "Energon": 100_000}
CASES = ((8, 0), (512, 0), (8, 2), (512, 2))  # rows of a batch, workers
ROUNDS, TIMEOUT_S = 3, 600


def run(name: str, what: str, folder: Path, *numbers: int) -> dict[str, Any]:
    argv = [sys.executable, "-m", "benchmarks.peers.case", name, what, str(folder), *map(str, numbers)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{name}: {what} failed: {done.stderr.strip()[-1000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure() -> Report:
    speeds: dict[str, list[float]] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as base:
        for name in NAMES:
            here = Path(base) / name.replace(" ", "_")
            here.mkdir()
            samples = FIRST_SAMPLES.get(name, 10_000_000)
            for what in ("order", "speed", "first"):
                run(name, "write", here / what, samples)
            row: dict[str, Any] = {"loader": name}
            for what in ("order", "change", "worlds"):
                row |= run(name, what, here / "order")
            rows.append(row | {"first_samples": samples} | run(name, "first", here / "first"))
        for _ in range(ROUNDS):
            for size, workers in CASES:
                for name in NAMES:
                    place = Path(base) / name.replace(" ", "_") / "speed"
                    known = speeds.setdefault(f"{name} {size} {workers}", [])
                    known.append(run(name, "speed", place, size, workers)["rows_per_s"])
    medians = {key: statistics.median(values) for key, values in speeds.items()}
    table, figures = [], {}
    for row in rows:
        name = row["loader"]
        shown: dict[str, Any] = {"loader": name}
        for size, workers in CASES:
            shown[f"rows/s {size}r {workers}w"] = f"{medians[f'{name} {size} {workers}']:,.0f}"
        takes = "" if row["change_takes_effect"] else " (shares unchanged)"
        shown |= {
            "worst_error": f"{row['worst_error']:.2f}",
            "repeats_%": f"{row['repeats']:.1f}",
            "lost_%": f"{row['lost']:.1f}",
            "after_change_%": f"{row['repeats_after_change']:.1f}{takes}",
            "same_batches_%": f"{row['same_batches']:.0f}",
            "first_batch_s": f"{row['first_batch_s']:.2f}",
            "first_samples": f"{row['first_samples']:,}",
        }
        table.append(shown)
    for size, workers in CASES:
        best = max((name for name in NAMES[1:]), key=lambda name: medians[f"{name} {size} {workers}"])
        ratio = medians[f"phasemix {size} {workers}"] / medians[f"{best} {size} {workers}"]
        figures[f"of_best_{size}_rows_{workers}_workers"] = ratio
    own = rows[0]
    figures |= {key: own[key] for key in ("worst_error", "repeats", "lost", "repeats_after_change", "same_batches")}
    targets: dict[str, tuple[str, float]] = {key: (">=", 1.0) for key in figures if key.startswith("of_best")}
    targets |= {"worst_error": ("<=", 1.0), "repeats": ("<=", 0.0), "lost": ("<=", 0.0)}
    targets |= {"repeats_after_change": ("<=", 0.0), "same_batches": (">=", 100.0)}
    return Report("peers on the same mixing work, ratios to the fastest of them", table, figures, targets)


if __name__ == "__main__":
    sys.exit(main(measure, __doc__))
