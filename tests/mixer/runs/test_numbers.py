"""Numbers that no run can have are named with what is allowed, by the same types in library, service and ledger."""

from typing import Any

import pytest

from mixer import Mixtures, RunError, Runs
from mixer.ledger.ledger import Shape
from streamer import Catalog
from streamer.store.store import MemoryStore


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"seed": -1}, "seed = -1: it must be an integer from 0 to 9,223,372,036,854,775,807, such as 17"),
        ({"seed": 1 << 63}, "seed = 9223372036854775808: it must be an integer from 0"),
        ({"seed": True}, "seed = True: it must be an integer from 0"),
        ({"global_batch": 1.5}, "global_batch = 1.5: it must be an integer from 1 to 1,048,576"),
        ({"global_batch": (1 << 20) + 1}, "global_batch = 1048577: it must be an integer from 1 to 1,048,576"),
        ({"canonical_nodes": 65}, "canonical_nodes = 65: it must be an integer from 1 to 64"),
        ({"canonical_nodes": 3}, "canonical_nodes = 3 does not divide global_batch = 8"),
        ({"num_steps": 0}, "num_steps = 0: it must be an integer from 1"),
        ({"segment_batches": "32"}, "segment_batches = '32': it must be an integer from 1 to 65,536"),
        ({"write_ahead": 0}, "write_ahead = 0: it must be an integer from 1"),
        ({"boundaries": 1}, "boundaries = 1: it must be true or false"),
        ({"writeahead": 3}, "has no key 'writeahead'; its keys are seed, global_batch"),
        ({"writeahead": 3}, "did you mean 'write_ahead'?"),
    ],
)
def test_what_a_new_run_cannot_be_is_named_and_nothing_is_written(shape: dict[str, Any], said: str) -> None:
    store = MemoryStore()
    with pytest.raises(RunError) as error:
        Runs(store).create("a", **{"mixture": "m", "seed": 1, "global_batch": 8, **shape})
    assert str(error.value).startswith("run a: ") or str(error.value).startswith("run a ")
    assert said in str(error.value)
    assert Catalog(store).names("runs") == []


def test_what_a_new_run_must_have_is_named() -> None:
    with pytest.raises(RunError, match="run a: global_batch is missing; add global_batch, an integer from 1 to 1,048,576"):
        Runs(MemoryStore()).create("a", mixture="m", seed=1)


def test_the_service_takes_what_the_library_takes() -> None:
    from mixer.service.routes.runs import Create

    assert set(Shape.__struct_fields__) < set(Create.__struct_fields__)
    assert Mixtures(MemoryStore()).list() == []
