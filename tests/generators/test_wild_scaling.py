"""The supervisor's workers while somebody scales them up and down within seconds."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_processes import wait_until

from deploy.local import local_machine
from generators.planning.orders import place_order
from mixer.pool import pool
from streamer import Catalog


@pytest.fixture
def up(seeded: Catalog, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Everything of `phasemix up`, without a worker, for a root with seed documents."""
    monkeypatch.delenv("PHASEMIX_REDIS", raising=False)
    with tempfile.TemporaryDirectory(prefix="pm") as found:
        monkeypatch.setenv("XDG_RUNTIME_DIR", found)
        local_machine.start(str(root), workers=0, timeout_s=120)
        try:
            yield str(root)
        finally:
            local_machine.stop(str(root))


def workers(root: str) -> list[str]:
    return [row["name"] for row in local_machine.rows(root) if row["name"].startswith("worker-")]


def published(catalog: Catalog) -> Counter[str]:
    bodies = catalog.stream_log("synthetic/python").read()
    return Counter(identity for body in bodies for identity in body.get("extra", {}).get("jobs", ()))


def test_scaled_wildly_the_pool_ends_at_the_last_number_and_fills_the_order_exactly(up: str, seeded: Catalog) -> None:
    order = place_order(seeded, "scored/*", files=40)
    for number in (1, 5, 0, 3, 1, 4, 2):
        pool.set_wanted(seeded, number)
        time.sleep(0.7)
    wait_until(lambda: workers(up) == ["worker-1", "worker-2"])
    wait_until(lambda: len(published(seeded)) >= order.files)
    time.sleep(2)  # more would come now
    found = published(seeded)
    assert (len(found), set(found.values())) == (40, {1})
    assert workers(up) == ["worker-1", "worker-2"]
