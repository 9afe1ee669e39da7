"""The service over HTTP: the same answers as the library, writes guarded, mistakes in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mixer import Mixtures, RunReader, Runs, demand
from mixer.service import create_app
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nname = "all"\nstreams = "*/*"\nshare = 1\nmax_passes = 2\n'


@pytest.fixture
def client(root: Path, fill: Callable[..., Catalog]) -> TestClient:
    fill("raw/python", 30)
    fill("synthetic/go", 30)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    return TestClient(create_app(root))


def test_segments_are_the_same_through_service_and_library(client: TestClient, root: Path) -> None:
    first = client.post("/api/runs/a/segments", json={"step": 3}).json()
    RunReader(root, "a").read(3)
    assert client.get("/api/runs/a/ledger").json() == first
    assert len(first) == 2


def test_a_run_shows_target_and_realised(client: TestClient, root: Path) -> None:
    RunReader(root, "a").read(3)
    (run,) = client.get("/api/runs").json()
    assert sum(use["realised_samples"] for use in run["use"]) == run["end_step"] * 4
    assert client.get("/api/streams").json()[0]["name"] == "raw/python"


def test_the_pool_is_scaled_and_unknown_without_redis(client: TestClient) -> None:
    assert client.get("/api/pool").json() == {"wanted": 0, "state": None}
    assert client.post("/api/pool", json={"workers": 3}).json() == {"wanted": 3}
    assert client.post("/api/pool", json={"workers": -1}).status_code == 400


def test_writes_from_elsewhere_are_refused(client: TestClient) -> None:
    assert client.post("/api/pool", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.post("/api/pool", json={"workers": 1}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_a_token_is_asked_when_it_is_set(root: Path) -> None:
    client = TestClient(create_app(root, token="right"))
    assert client.post("/api/pool", json={"workers": 1}).status_code == 401
    assert client.post("/api/pool", json={"workers": 1}, headers={"Authorization": "Bearer right"}).status_code == 200


def test_mistakes_are_answered_in_one_line(client: TestClient) -> None:
    assert "does not exist" in client.get("/api/runs/none").json()["error"]
    assert client.post("/api/runs/a/switch", json={"mixture": "none"}).status_code == 400
    assert client.post("/api/runs/a/segments", json={"step": 10**6}).status_code == 409


def test_the_page_comes_with_a_policy_and_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "http" not in page.text
    assert client.get("/dashboard.js").status_code == 200


def test_demand_is_what_live_runs_miss(client: TestClient, root: Path) -> None:
    assert demand(root) == {"go": (256 * 2 // 2 - 30) * 8}
