"""What kept results come to: pass@1 with its interval, bits per byte, and two evaluations compared task by task.

Always holds: a task that could not be checked counts neither as passed nor as failed, and one whose prompt was too long
counts as failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from training.evaluation.answering import LENGTH, TOO_LONG
from training.evaluation.checking import PASSED
from training.evaluation.results import Line
from training.evaluation.tasks import EVOEVAL_IDS

Z = 1.959964  # of 95 %
EVOEVAL_PARTS = tuple(f"EvoEval_{part}" for part, start in EVOEVAL_IDS.items() if start == "EvoEval/")
COLUMNS = {  # of the paper's Table 2, and the benchmarks whose tasks each counts together
    "HumanEval+": ("HumanEvalPlus",),
    "MBPP+": ("MbppPlus",),
    "EvoEval": EVOEVAL_PARTS,
    "BigCodeBench": ("BigCodeBench",),
}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one benchmark: `tasks` that were checked, and counts of them. `base_passed`: on the older benchmark's inputs, None
    where it has none; `nats` and `text_bytes`: of the reference solutions under the model.
    """

    benchmark: str
    tasks: int
    passed: int
    base_passed: int | None = None
    not_checked: int = 0
    too_long: int = 0
    ran_out: int = 0
    nats: float = 0.0
    text_bytes: int = 0

    @property
    def pass_at_1(self) -> float | None:
        return self.passed / self.tasks if self.tasks else None

    @property
    def bits_per_byte(self) -> float | None:
        return self.nats / math.log(2) / self.text_bytes if self.text_bytes else None


def figures_of(benchmark: str, lines: Iterable[Line], *, has_base: bool) -> Figures:
    """The figures of one benchmark's results."""
    found = list(lines)
    checked = [line for line in found if line.is_checked]
    return Figures(
        benchmark=benchmark,
        tasks=len(checked),
        passed=sum(line.passed for line in checked),
        base_passed=sum(line.base == PASSED for line in checked) if has_base else None,
        not_checked=len(found) - len(checked),
        too_long=sum(line.end == TOO_LONG for line in found),
        ran_out=sum(line.end == LENGTH for line in found),
        nats=math.fsum(line.nats for line in found if line.nats is not None),
        text_bytes=sum(line.text_bytes for line in found),
    )


def pooled(name: str, parts: Iterable[Figures]) -> Figures:
    """Several benchmarks' tasks counted together."""
    found = list(parts)
    return Figures(
        benchmark=name,
        tasks=sum(one.tasks for one in found),
        passed=sum(one.passed for one in found),
        not_checked=sum(one.not_checked for one in found),
        too_long=sum(one.too_long for one in found),
        ran_out=sum(one.ran_out for one in found),
        nats=math.fsum(one.nats for one in found),
        text_bytes=sum(one.text_bytes for one in found),
    )


def wilson(passed: int, tasks: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: Wilson 1927, without correction for continuity."""
    share, spread = passed / tasks, Z * Z / tasks
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / tasks + spread / (4 * tasks)) / (1 + spread)
    return (middle - half if passed else 0.0), (middle + half if passed < tasks else 1.0)  # exact at the ends


def mcnemar(only_first: int, only_second: int) -> float:
    """How likely so uneven a division of the tasks that one alone passes would be by chance; exact and two-sided.

    Source: McNemar 1947, with the binomial distribution in place of its approximation.
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    below = sum(math.comb(count, passed) for passed in range(fewer + 1))
    return min(1.0, below / (1 << max(0, count - 1)))


def compare(benchmark: str, first: Mapping[str, Line], second: Mapping[str, Line]) -> dict[str, Any]:
    """Two results on the tasks that both have and that were checked: how many each passes, and McNemar's test."""
    tasks = [task for task in first.keys() & second.keys() if first[task].is_checked and second[task].is_checked]
    only_first = sum(first[task].passed and not second[task].passed for task in tasks)
    only_second = sum(second[task].passed and not first[task].passed for task in tasks)
    both = sum(first[task].passed and second[task].passed for task in tasks)
    return {
        "benchmark": benchmark,
        "tasks": len(tasks),
        "both": both,
        "only_first": only_first,
        "only_second": only_second,
        "neither": len(tasks) - both - only_first - only_second,
        "p": mcnemar(only_first, only_second),
    }


def table_of(figures: Iterable[Figures], reference: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """A row for each benchmark, with all parts of EvoEval counted together where they are there.

    `reference`: what the reference solutions came to, by benchmark. Shares are in percent.
    """
    found = list(figures)
    parts = [one for one in found if one.benchmark in EVOEVAL_PARTS]
    if len(parts) == len(EVOEVAL_PARTS):
        found.append(pooled("EvoEval", parts))
        if all(part in reference for part in EVOEVAL_PARTS):
            reference = {**reference, "EvoEval": pooled("EvoEval", [reference[part] for part in EVOEVAL_PARTS])}
    rows = []
    for one in found:
        low, high = wilson(one.passed, one.tasks) if one.tasks else (None, None)
        solved = reference[one.benchmark].pass_at_1 if one.benchmark in reference else None
        rows.append(
            {
                "benchmark": one.benchmark,
                "tasks": one.tasks,
                "passed": one.passed,
                "pass_at_1": percent(one.pass_at_1),
                "low": percent(low),
                "high": percent(high),
                "base": percent(one.base_passed / one.tasks) if one.base_passed is not None and one.tasks else None,
                "reference": percent(solved),
                "bits_per_byte": one.bits_per_byte,
                "too_long": one.too_long,
                "ran_out": one.ran_out,
                "not_checked": one.not_checked,
            }
        )
    return rows


def percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def table_2(model: str, figures: Iterable[Figures]) -> list[str]:
    """The figures as a row of a Markdown table. Source: the columns of Arctic-SnowCoder's Table 2, pass@1 in percent."""
    by_name, cells = {one.benchmark: one for one in figures}, []
    for benchmarks in COLUMNS.values():
        here = [by_name[name] for name in benchmarks if name in by_name]
        share = pooled("", here).pass_at_1 if len(here) == len(benchmarks) else None
        cells.append("-" if share is None else f"{100 * share:.1f}")
    return [
        f"| Model | {' | '.join(COLUMNS)} |",
        f"| --- |{' ---: |' * len(COLUMNS)}",
        f"| {model} | {' | '.join(cells)} |",
    ]
