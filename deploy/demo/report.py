"""What the demo's runs came to, and whether it is what was promised.

Always holds: everything is counted again from the ledger and the parts, not taken from what the trainers said.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from mixer.reading.run_reader import RunReader
from mixer.runs.runs import Runs
from streamer.catalog.catalog import Catalog
from streamer.catalog.parts import read_sidecar
from training.measures.steps_log import StepLine, digest_origin


class PhaseReport(msgspec.Struct, frozen=True, kw_only=True):
    """One phase. Shares are of its tokens; `off_by_samples`: the worst distance of a stream from its target after any
    global batch; `passes`: the fewest and the most over its streams; bits per byte on held-out documents, and of
    the solutions of small tasks."""

    phase: str
    steps: int
    tokens: int
    python_target: float
    python_realised: float
    synthetic_target: float
    synthetic_realised: float
    off_by_samples: float
    passes: tuple[float, float]
    bits_per_byte: float | None
    solutions_bits_per_byte: float


class Synthetic(msgspec.Struct, frozen=True, kw_only=True):
    """Synthetic files of which a run drew samples, and those that were published after its first segment was written."""

    files_trained_on: int
    files_that_joined_under_training: int
    one_that_joined: str | None  # its id


def report_phase(
    catalog: Catalog, phase: str, run: str, steps: int, *, bits_per_byte: float | None, solutions_bits_per_byte: float
) -> PhaseReport:
    """Reads every global batch of a run again and counts."""
    runs = Runs(catalog)
    targets = {step: target for target in runs.targets(run) for step in range(target.start_step, target.end_step)}
    wanted: dict[str, float] = defaultdict(float)
    drawn: dict[str, float] = defaultdict(float)
    worst = 0.0
    with RunReader(catalog.store, run, read_only=True) as reader:
        for step in range(steps):
            for stream, samples in targets[step].samples.items():
                wanted[stream] += samples
            counts = np.bincount(reader.read(step).origin["stream"], minlength=len(reader.streams))
            for stream, count in zip(reader.streams, counts.tolist(), strict=True):
                drawn[stream] += count
            worst = max(worst, *(abs(wanted[stream] - drawn[stream]) for stream in wanted))
        seq_len = catalog.stream(reader.streams[0]).seq_len or 0
    total = int(sum(drawn.values()))
    passes = [use.passes for use in runs.use(run, steps) if use.realised_samples]
    return PhaseReport(
        phase=phase,
        steps=steps,
        tokens=total * seq_len,
        python_target=share(wanted, total, key="python"),
        python_realised=share(drawn, total, key="python"),
        synthetic_target=share(wanted, total, kind="synthetic"),
        synthetic_realised=share(drawn, total, kind="synthetic"),
        off_by_samples=round(worst, 4),
        passes=(round(min(passes), 4), round(max(passes), 4)),
        bits_per_byte=bits_per_byte,
        solutions_bits_per_byte=solutions_bits_per_byte,
    )


def share(samples: Mapping[str, float], total: int, *, kind: str | None = None, key: str | None = None) -> float:
    """The share of the streams of a kind or a key."""
    parts = ((name.split("/"), count) for name, count in samples.items())
    chosen = (count for words, count in parts if kind in (None, words[0]) and key in (None, words[1]))
    return round(sum(chosen) / max(1, total), 4)


def report_synthetic(catalog: Catalog, run: str, steps: int) -> Synthetic:
    """Which synthetic files a run drew samples of, by the parts' sidecars."""
    first = Runs(catalog).targets(run)[0]
    drawn: dict[tuple[str, int], set[int]] = {}
    seen_first: dict[str, int] = {}
    with RunReader(catalog.store, run, read_only=True) as reader:
        for step in range(steps):
            origin = reader.read(step).origin
            for index, part, row in zip(*(origin[name].tolist() for name in ("stream", "part", "row")), strict=True):
                drawn.setdefault((reader.streams[index], part), set()).add(row)
        for stream in reader.streams:
            seen_first[stream] = first_snapshot(catalog, run, stream)
    files, joined = set(), set()
    for (stream, number), rows in drawn.items():
        if not stream.startswith("synthetic/"):
            continue
        part = next(part for part in catalog.stream(stream).parts if part.number == number)
        table = read_sidecar(catalog.store, part).to_pylist()
        found = {row["document"] for row in table if row["sample"] in rows}
        files |= found
        if number >= seen_first[stream]:
            joined |= found
    assert first.start_step == 0
    return Synthetic(
        files_trained_on=len(files), files_that_joined_under_training=len(joined), one_that_joined=min(joined, default=None)
    )


def first_snapshot(catalog: Catalog, run: str, stream: str) -> int:
    """How many entries a stream's log had when the run's first segment was written."""
    from mixer.journal.journal import Journal

    ledger = Journal(catalog, run).ledger
    body = next(body for body in catalog.log(f"runs/{run}/ledger").read() if body["event"] == "segment")
    return next((number for index, _, number, *_ in body.get("joins", []) if ledger.streams[index] == stream), 0)


def order_digests(catalog: Catalog, run: str, steps: int) -> list[str]:
    """The digest of each global batch's origins, read in one go by one reader, as an uninterrupted training has them."""
    with RunReader(catalog.store, run, read_only=True) as reader:
        return [digest_origin([reader.read(step).origin.tobytes()]) for step in range(steps)]


def repeats(before: list[StepLine], after: list[StepLine]) -> bool:
    """Whether steps that were done again, at least one, have the same samples, rates and losses bit for bit."""
    return bool(before) and before == [line for line in after if line.step in {line.step for line in before}]


def problems(phases: list[PhaseReport], synthetic: Synthetic, *, order_is_equal: bool, replay_is_equal: bool) -> list[str]:
    """What is not as promised; empty when all is."""
    found = []
    for phase, limit in zip(phases, (1.0, 1.0, 2.0), strict=True):
        if phase.off_by_samples > limit:
            found.append(f"{phase.phase}: a stream was {phase.off_by_samples} samples off its target, limit {limit}")
    if phases[1].passes != (4.0, 4.0):
        found.append(f"continued: passes were {phases[1].passes}, not exactly 4")
    if not synthetic.files_that_joined_under_training:
        found.append("enhanced: no synthetic file joined while the training ran")
    if not order_is_equal:
        found.append("enhanced: the order of samples with the kill is not that of an uninterrupted reading")
    if not replay_is_equal:
        found.append("enhanced: steps that were done again after the kill had other samples or other losses")
    return found


def table_rows(phases: list[PhaseReport]) -> list[dict[str, Any]]:
    """The demo's last table."""
    rows = []
    for phase in phases:
        row = msgspec.to_builtins(phase)
        low, high = phase.passes
        row["passes"] = f"{low:.4f}" if low == high else f"{low:.4f} to {high:.4f}"
        rows.append(row)
    return rows
