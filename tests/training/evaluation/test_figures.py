"""Intervals and tests against their definitions, and what counts."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.answering import INSIDE, cut, stops_of
from training.evaluation.figures import EVOEVAL_PARTS, Figures, compare, figures_of, mcnemar, table_2, table_of, wilson
from training.evaluation.results import Line
from training.evaluation.tasks import MBPP, Task


def line(task: str, plus: str, base: str = "pass", end: str = "ended", nats: float | None = None) -> Line:
    return Line(task=task, end=end, base=base, plus=plus, answer="", nats=nats, text_bytes=0 if nats is None else 8)


@given(tasks=st.integers(1, 2000), data=st.data())
def test_the_interval_holds_the_shares_whose_score_test_does_not_refuse(tasks: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, tasks))
    low, high = wilson(passed, tasks)
    assert 0 <= low <= passed / tasks <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            assert abs(passed / tasks - bound) / (bound * (1 - bound) / tasks) ** 0.5 == pytest.approx(1.959964, rel=1e-6)


def test_the_interval_of_a_published_example() -> None:
    assert wilson(15, 50) == pytest.approx((0.1910, 0.4375), abs=5e-5)


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_paired_test_sums_the_outcomes_that_are_no_likelier(first: int, second: int) -> None:
    count = first + second
    chances = [comb(count, passed) / 2**count for passed in range(count + 1)]
    here = chances[first]
    assert mcnemar(first, second) == pytest.approx(min(1, sum(chance for chance in chances if chance <= here * (1 + 1e-9))))


def test_what_was_not_checked_does_not_count_and_too_long_prompts_fail() -> None:
    lines = [
        line("a", "pass", nats=4.0),
        line("b", "fail", end="length", nats=4.0),
        line("c", "fail", "fail", end="prompt_too_long"),
        line("d", "not_checked: tensorflow", "not_checked: tensorflow"),
    ]
    found = figures_of("HumanEvalPlus", lines, has_base=True)
    assert (found.tasks, found.passed, found.base_passed, found.not_checked, found.too_long) == (3, 1, 2, 1, 1)
    assert found.bits_per_byte == pytest.approx(0.5 / 0.6931472)
    assert table_of([figures_of("x", lines[3:], has_base=False)], {})[0]["pass_at_1"] is None


def test_only_tasks_that_both_have_are_compared() -> None:
    first = {name: line(name, plus) for name, plus in zip("abcd", ("pass", "pass", "fail", "pass"), strict=True)}
    second = {name: line(name, plus) for name, plus in zip("abce", ("pass", "fail", "pass", "pass"), strict=True)}
    second["b"] = line("b", "not_checked: x", "not_checked: x")
    found = compare("x", first, second)
    assert (found["tasks"], found["both"], found["only_first"], found["only_second"], found["neither"]) == (2, 1, 0, 1, 0)


def test_the_parts_of_evoeval_are_one_column() -> None:
    parts = [Figures(benchmark=name, tasks=100, passed=10 * place) for place, name in enumerate(EVOEVAL_PARTS)]
    assert table_2("ours", parts)[-1] == "| ours | - | - | 20.0 | - |"
    assert table_2("ours", parts[1:])[-1] == "| ours | - | - | - | - |"
    (row,) = [row for row in table_of(parts, {}) if row["benchmark"] == "EvoEval"]
    assert (row["tasks"], row["passed"], row["pass_at_1"]) == (500, 100, 20.0)


@given(st.text("\n def clasifpr`t(x:", max_size=60), st.text("\n def", max_size=8))
def test_an_answer_does_not_depend_on_where_the_model_was_stopped(text: str, more: str) -> None:
    answer = cut(text, INSIDE)
    if answer != text:
        assert cut(text + more, INSIDE) == answer
    assert cut(answer, INSIDE) == answer


def test_an_answer_ends_before_what_stands_beside_the_function() -> None:
    body = "    if x:\n\treturn 1\n    return 2\n"
    assert cut(f"{body}\ndef other():\n", INSIDE) == body.replace("\t", "    ")
    assert cut(f"{body}\n```\nThis", INSIDE) == body.replace("\t", "    ")
    whole = "def f(x):\n    return g(x)\n\ndef g(x):\n    return x\n"
    assert cut(f"{whole}\nassert f(1) == 1", stops_of(Task(MBPP, b"", {}))) == whole
