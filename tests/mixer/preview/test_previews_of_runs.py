"""Where a preview of a run says that it ends, beside runs without a horizon that are read to their very end."""

import pytest
from histories import History, Part, drying_histories, examples, publish, toml
from hypothesis import assume, given
from hypothesis import strategies as st

from mixer import Mixtures, RunEnded, RunReader, Runs, WaitError
from streamer import Catalog
from streamer.store.store import MemoryStore

FAR = 700  # batches after which a run counts as one that goes on for ever
SEQ_LEN = 2

ending = drying_histories().filter(
    lambda history: "wait" not in (history.when_dry, history.others and history.others.when_dry)
)


class Catalogued:
    """The catalog of a history, and runs of it: each begins with the history's weights and is read for `read` batches."""

    def __init__(self, history: History) -> None:
        self.store = MemoryStore("memory")
        self.catalog, self.runs, self.mixtures = Catalog(self.store), Runs(self.store), Mixtures(self.store)
        for part in history.parts:
            publish(self.catalog, part)
        self.history, self.mixture = history, self.mixtures.apply(toml(history, history.weights))
        self.shape = {"seed": history.seed, "segment_batches": history.segment_batches}

    def begin(self, name: str, *, read: int = 0) -> None:
        self.runs.create(name, mixture=self.mixture, global_batch=self.history.global_batch, **self.shape)
        reader = RunReader(self.store, name)
        for step in range(read):
            reader.read(step)

    def lasts(self, name: str) -> int:
        """How many batches a run without a horizon has; what waits or goes on for long is no example."""
        reader, step = RunReader(self.store, name), self.runs.show(name).end_step
        try:
            while step < FAR:
                reader.read(step)
                step += 1
        except RunEnded:
            return step
        except WaitError:
            pass
        assume(False)
        raise AssertionError

    def preview_ends(self, run: str | None, mixture: str) -> float:
        """Where the preview says that it ends, in samples from now."""
        ends = self.mixtures.preview(mixture, run=run).ends_at_tokens
        assert ends is not None
        return ends / SEQ_LEN


@examples(40)
@given(history=ending, data=st.data())
def test_a_preview_ends_where_the_run_then_ends(history: History, data: st.DataObject) -> None:
    """Within a batch, and the two samples of each stream that a batch may lack or have too many."""
    world, size = Catalogued(history), history.global_batch
    world.begin("before")
    lasted = world.lasts("before")
    near = size + 2 * len(history.weights)
    assert world.preview_ends(None, world.mixture) == pytest.approx(lasted * size, abs=near)
    world.begin("a", read=data.draw(st.integers(0, lasted)))
    left = lasted - world.runs.show("a").end_step
    assert world.preview_ends("a", world.mixture) == pytest.approx(left * size, abs=near)


@pytest.mark.parametrize("read", [1, 100, 249, 251, 400])
def test_a_preview_of_a_run_knows_what_small_shares_are_owed(read: int) -> None:
    history = History(3, 1, 4, 1, 1, "stop", (1, 999), (Part(0, 2), Part(1, 4000)), ())
    world = Catalogued(history)
    world.begin("free")
    world.begin("a", read=read)
    left = world.lasts("free") - read
    assert world.preview_ends("a", world.mixture) == pytest.approx(left * 4, abs=8)


def test_a_preview_of_a_run_that_is_past_a_cap_says_so_and_nothing_below_zero() -> None:
    history = History(3, 1, 4, 1, None, "stop", (1, 1), (Part(0, 2), Part(1, 4000)), ())
    world = Catalogued(history)
    world.begin("a", read=9)
    capped = world.mixtures.apply(toml(history._replace(max_passes=1), (1, 1)))
    assert world.preview_ends("a", capped) == 0
    preview = world.mixtures.preview(capped, run="a", tokens=80)
    assert "to at most 0.000000" in preview.refusals[0].said
