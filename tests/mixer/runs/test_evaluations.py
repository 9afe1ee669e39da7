"""Figures on benchmarks are noted beside a run, once."""

from pathlib import Path

import msgspec
import pytest

from mixer.errors import RunError
from mixer.runs.evaluations import Evaluation, Measured, note_evaluation, read_evaluations
from streamer import Catalog

FIRST = Evaluation(
    step=30,
    checkpoint="ab" * 32,
    weights="cd" * 32,
    writer="transformers",
    max_new_tokens=768,
    checker={"HumanEvalPlus": "evalplus 0.3.1"},
    benchmarks=[Measured(benchmark="HumanEvalPlus", digest="ef" * 32, tasks=164, passed=20, bits_per_byte=0.7)],
    by="ana",
    at_s=1.5,
)


def test_an_evaluation_is_noted_once_whoever_makes_it(tmp_path: Path) -> None:
    second = msgspec.structs.replace(FIRST, step=60)
    assert read_evaluations(Catalog(tmp_path), "a") == []
    noted = [
        note_evaluation(Catalog(tmp_path), "a", one)
        for one in (FIRST, second, msgspec.structs.replace(FIRST, by="ben", at_s=9.0))
    ]
    assert noted == [True, True, False]
    assert read_evaluations(Catalog(tmp_path), "a") == [FIRST, second]
    assert read_evaluations(Catalog(tmp_path), "b") == []


def test_a_newer_format_of_evaluations_is_refused_by_name(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.log("evaluations/a").append(lambda _: {**msgspec.to_builtins(FIRST), "format": "evaluation/2"})
    with pytest.raises(RunError, match="evaluation of run a has format evaluation/2.*update phasemix"):
        read_evaluations(catalog, "a")
