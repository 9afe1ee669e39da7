"""A run is refused exactly the lengths at which it would end early: judged by what the same run gives when it is read."""

import numpy as np
import pytest
from histories import examples
from hypothesis import given, reject
from hypothesis import strategies as st

from mixer import Mixtures, RunEnded, RunError, Runs, WaitError
from mixer.order.shares import ONE
from streamer import Catalog
from streamer.store.store import MemoryStore

LONG = 300  # batches
SEQ_LEN = 2


def component(name: str, streams: str, share: str, weights: dict[str, int], max_passes: int | None, when_dry: str) -> str:
    within = ", ".join(f"{language} = {weight}" for language, weight in weights.items())
    cap = f'max_passes = {max_passes}\nwhen_dry = "{when_dry}"\n' if max_passes else ""
    return f'[[component]]\nname = "{name}"\nstreams = "{streams}"\nshare = {share}\nwithin = {{ {within} }}\n{cap}'


@st.composite
def worlds(draw: st.DrawFn, *, most_languages: int = 6) -> tuple[dict[str, int], list[str], int]:
    """Samples by stream, two mixtures over them, and a batch size."""
    languages = [f"l{number}" for number in range(draw(st.integers(1, most_languages)))]
    groups = draw(st.sampled_from([["raw"], ["raw", "scored"]]))
    samples = st.sampled_from([1, 2, 5, 16, 60, 150, 400])
    streams = {f"{group}/{language}": draw(samples) for group in groups for language in languages}
    texts = []
    for _ in range(2):
        small = draw(st.sampled_from(["0.001", "0.05", "0.3", "0.5"])) if len(groups) == 2 else "0"
        text = f'name = "m"\nseq_len = {SEQ_LEN}\n'
        for group, share in zip(groups, [f"{1 - float(small):.6f}", small], strict=False):
            weights = {language: draw(st.sampled_from([1, 1, 2, 7, 20, 100, 1000])) for language in languages}
            passes, when = (
                draw(st.sampled_from([None, 1, 1, 2, 4])),
                draw(st.sampled_from(["stop", "stop", "wait", "share"])),
            )
            text += component(group, f"{group}/*", share, weights, passes, when)
        texts.append(text)
    return streams, texts, draw(st.sampled_from([1, 2, 3, 8, 16, 64]))


def begin(streams: dict[str, int]) -> Runs:
    catalog = Catalog(MemoryStore("memory"))
    for stream, samples in streams.items():
        catalog.append(stream, np.zeros((samples, SEQ_LEN), np.uint16), seq_len=SEQ_LEN)
    return Runs(catalog)


def may_grow(text: str) -> int:
    """Batches more that a run may have when a stream grows that it waits for: it then has its closing batch."""
    return int('"wait"' in text)


def lasts(runs: Runs, name: str) -> int | None:
    """The batches that a run gives before it ends; None where it goes on for long. A world whose run waits tells nothing."""
    try:
        runs.extend(name, LONG)
    except RunEnded:
        return runs.show(name).end_step
    except WaitError:
        reject()
    return None


@examples(60)
@given(world=worlds())
def test_a_run_is_created_for_as_many_steps_as_it_lasts_and_no_more(world: tuple[dict[str, int], list[str], int]) -> None:
    streams, (text, _), size = world
    runs = begin(streams)
    reference = Mixtures(runs.catalog).apply(text)
    runs.create("free", mixture=reference, seed=1, global_batch=size)
    most = lasts(runs, "free")
    settings = {"mixture": reference, "seed": 1, "global_batch": size}
    if most is None:
        runs.create("long", num_steps=LONG, **settings)
        return
    slack = may_grow(text)
    with pytest.raises(RunError, match="lower|raise"):
        runs.create("longer", num_steps=most + slack + 1, **settings)
    if most:
        runs.create("fits", num_steps=most, **settings)
        assert runs.extend("fits", most) == most
        with pytest.raises(RunError, match="lower|raise"):
            runs.lengthen("fits", most + slack + 1)


@examples(60)
@given(world=worlds(), at=st.integers(1, 40), begun=st.integers(0, 40))
def test_a_switch_ahead_is_made_where_the_run_then_lasts_and_nowhere_else(
    world: tuple[dict[str, int], list[str], int], at: int, begun: int
) -> None:
    """Where the switch lies ahead, to within the sample by which what was drawn of a stream then differs from its share."""
    streams, texts, size = world
    runs, begun = begin(streams), min(at, begun)
    first, second = (Mixtures(runs.catalog).apply(text) for text in texts)
    settings = {"mixture": first, "seed": 1, "global_batch": size, "segment_batches": 1}
    runs.create("free", **settings)
    try:
        runs.extend("free", begun)
    except (RunEnded, WaitError):
        return
    runs.switch("free", second, at_step=at)
    most, slack = lasts(runs, "free"), may_grow(texts[1])
    if begun < at:
        smallest = min(filter(None, Mixtures(runs.catalog).resolve(second).shares))
        slack += -(-2 * ONE // (smallest * size))
    if most is not None and most - slack <= at:
        return
    for steps, is_made in [(LONG, True)] if most is None else [(most - slack, True), (most + slack + 1, False)]:
        name = f"r{steps}"
        try:
            runs.create(name, num_steps=steps, **settings)
        except RunError:
            continue  # with the first mixture alone it would not last
        runs.extend(name, begun)
        if is_made:
            runs.switch(name, second, at_step=at)
        else:
            with pytest.raises(RunError, match="lower|raise"):
                runs.switch(name, second, at_step=at)
