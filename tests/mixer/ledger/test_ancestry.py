"""The line of a run, against a walk over parents that was written to be obvious."""

from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mixer.ledger.ancestry import FOREVER, Ancestry
from mixer.ledger.ledger import FORMAT, ORDER, Fork, Ledger, Parent, Settings
from mixer.mixture.plan import Plan
from mixer.order.shares import ONE
from streamer.store.log import Body

PLAN = Plan(
    mixture="m@1", streams=["raw/go"], shares=[ONE], component=["raw"], max_passes=[None], limit=[None], when_dry=["stop"],
    dtype="uint16", tokenizer=None,
)  # fmt: skip
SETTINGS = Settings(mixture="m@1", seed=1, global_batch=4, seq_len=8)


class Log(NamedTuple):
    """A run that only its first entry is known of."""

    run: str
    ledger: Ledger


def log(number: int, parent: int | None, step: int) -> Log:
    body: Body = {"format": FORMAT, "event": "created", "order": ORDER}
    body |= {"settings": msgspec.to_builtins(SETTINGS), "plan": msgspec.to_builtins(PLAN)}
    if parent is not None:
        body["parent"] = msgspec.to_builtins(Parent(run=str(parent), step=step, ledger="", seed=1, pools=[]))
        body["fork"] = msgspec.to_builtins(Fork(owed=[], skipped=[]))
    return Log(str(number), Ledger([body]))


def walked(logs: list[Log], number: int, step: int) -> int:
    ledger = logs[number].ledger
    if ledger.parent is None or step >= ledger.parent.step:
        return number
    return walked(logs, int(ledger.parent.run), step)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 12)), max_size=8))
def test_each_batch_of_a_line_stands_in_one_log(forks: list[tuple[int, int]]) -> None:
    logs = [log(0, None, 0)]
    for number, (parent, step) in enumerate(forks, start=1):
        logs.append(log(number, parent % number, step))
    for number, newest in enumerate(logs):
        line = Ancestry(newest, lambda run: logs[int(run)])
        spans = list(line)
        assert [span.of.run for span in line.oldest_first()] == [span.of.run for span in spans[::-1]]
        edges = [span.start for span in spans[::-1]] + [FOREVER]
        assert edges[0] == 0
        assert edges == sorted(edges)
        assert [span.end for span in spans[::-1]] == edges[1:]
        for step in range(14):
            owner = line.owner(step)
            assert int(owner.run) == walked(logs, number, step)
            assert [span.of for span in spans if span.start <= step < span.end] == [owner]


def test_a_parent_is_opened_when_it_is_first_needed_and_once() -> None:
    logs, opened = [log(0, None, 0), log(1, 0, 5), log(2, 1, 9)], []

    def open_run(run: str) -> Log:
        opened.append(run)
        return logs[int(run)]

    line = Ancestry(logs[2], open_run)
    assert line.owner(9).run == "2"
    assert opened == []
    assert [line.owner(step).run for step in (8, 4, 5, -1)] == ["1", "0", "1", "0"]
    assert opened == ["1", "0"]
