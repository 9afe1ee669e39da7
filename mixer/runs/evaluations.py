"""What the checkpoints of a run came to on benchmarks, noted beside the run.

Always holds: a note is never changed; the same figures of the same weights are noted once.
"""

from __future__ import annotations

import msgspec

from mixer.errors import RunError
from streamer.catalog.catalog import Catalog
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

FORMAT = "evaluation/1"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's figures.

    Attributes:
        benchmark: The name of its file, such as HumanEvalPlus.
        digest: The SHA-256 of the file's lines.
        tasks: Those that were checked.
        passed: Those of them whose answer passed.
        base_passed: Those that passed on the inputs of the older benchmark; None where there is none.
        not_checked: Tasks that could not be checked.
        too_long: Tasks whose prompt was longer than the model's context; they count as failed.
        bits_per_byte: Of the reference solutions under the model; None when that was not measured.
    """

    benchmark: str
    digest: str
    tasks: int
    passed: int
    base_passed: int | None = None
    not_checked: int = 0
    too_long: int = 0
    bits_per_byte: float | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation of a checkpoint.

    Attributes:
        step: The trained steps of the checkpoint.
        checkpoint: Its SHA-256.
        weights: The SHA-256 of the exported files.
        writer: What wrote the answers.
        max_new_tokens: The most tokens of an answer.
        checker: The packages that checked them, with their versions, by benchmark.
        benchmarks: The figures.
        by: Who evaluated.
        at_s: When, in seconds of the Unix epoch by the evaluator's clock.
    """

    step: int
    checkpoint: str
    weights: str
    writer: str
    max_new_tokens: int
    checker: dict[str, str]
    benchmarks: list[Measured]
    by: str | None = None
    at_s: float = 0.0
    format: str = FORMAT


def read_evaluations(catalog: Catalog, run: str) -> list[Evaluation]:
    """The evaluations of a run, in the order of their notes. Raises: RunError for another format."""
    return decode(catalog.log(log_of(run)).read(), run)


def note_evaluation(catalog: Catalog, run: str, evaluation: Evaluation) -> bool:
    """Notes an evaluation. Returns: False where the same one is noted already. Raises: RunError, StoreError."""

    def decide(bodies: Bodies) -> Body | None:
        known = [msgspec.structs.replace(one, by=None, at_s=0.0) for one in decode(bodies, run)]
        if msgspec.structs.replace(evaluation, by=None, at_s=0.0) in known:
            return None
        body: Body = msgspec.to_builtins(evaluation)
        return body

    return catalog.log(log_of(run)).append(decide) is not None


def log_of(run: str) -> str:
    return f"evaluations/{run}"


def decode(bodies: Bodies, run: str) -> list[Evaluation]:
    found = []
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(RunError, f"an evaluation of run {run}", body["format"], FORMAT)
            found.append(msgspec.convert(body, Evaluation))
    return found
