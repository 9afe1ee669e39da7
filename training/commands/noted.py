"""Evaluations beside the runs of a catalog: `phasemix evaluate` notes them there and lists them."""

from __future__ import annotations

import time
from typing import Any

from mixer.runs.evaluations import Evaluation, Measured, note_evaluation, read_evaluations
from streamer import Catalog
from streamer.commands.options import person
from training.evaluation.figures import Figures, percent, wilson
from training.evaluation.results import Heading


def note(
    root: str,
    about: dict[str, Any],
    weights: str,
    writer: str,
    max_new_tokens: int,
    figures: list[Figures],
    headings: dict[str, Heading],
) -> str:
    """Notes the figures beside the run. Returns: what is said of it."""
    catalog, run = Catalog(root), about["run"]
    if run not in catalog.names("runs"):
        return f"; {root} has no run {run}, so they are not noted there"
    evaluation = Evaluation(
        step=about["step"],
        checkpoint=about["checkpoint"],
        weights=weights,
        writer=writer,
        max_new_tokens=max_new_tokens,
        checker={name: heading.checker for name, heading in headings.items()},
        benchmarks=[
            Measured(
                benchmark=one.benchmark,
                digest=headings[one.benchmark].digest,
                tasks=one.tasks,
                passed=one.passed,
                base_passed=one.base_passed,
                not_checked=one.not_checked,
                too_long=one.too_long,
                bits_per_byte=one.bits_per_byte,
            )
            for one in figures
        ],
        by=person(),
        at_s=round(time.time(), 3),
    )
    note_evaluation(catalog, run, evaluation)
    return f", and noted beside run {run}"


def list_noted(root: str) -> list[dict[str, Any]]:
    """A row for each benchmark of each evaluation that is noted."""
    catalog, rows = Catalog(root), []
    for run in catalog.names("runs"):
        for evaluation in read_evaluations(catalog, run):
            for one in evaluation.benchmarks:
                low, high = wilson(one.passed, one.tasks) if one.tasks else (None, None)
                rows.append(
                    {
                        "run": run,
                        "step": evaluation.step,
                        "benchmark": one.benchmark,
                        "tasks": one.tasks,
                        "pass_at_1": percent(one.passed / one.tasks) if one.tasks else None,
                        "low": percent(low),
                        "high": percent(high),
                        "bits_per_byte": one.bits_per_byte,
                        "not_checked": one.not_checked,
                        "writer": evaluation.writer,
                        "checkpoint": evaluation.checkpoint[:12],
                    }
                )
    return rows
