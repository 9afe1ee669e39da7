"""The service over HTTP: the same answers as the library, roles, mistakes in one line, cheap polling."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from mixer import Mixtures, RunReader, Runs, demand
from mixer.errors import AccessError
from mixer.service import create_app
from mixer.service.access import Token
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nname = "all"\nstreams = "*/*"\nshare = 1\nmax_passes = 2\n'
TOKENS = (Token("eve", "read", "r" * 20), Token("ann", "write", "w" * 20))
READ, WRITE = ({"Authorization": f"Bearer {token.secret}"} for token in TOKENS)


@pytest.fixture
def filled(root: Path, fill: Callable[..., Catalog]) -> Path:
    """A root with two streams, a mixture and a run."""
    fill("raw/python", 30)
    fill("synthetic/go", 30)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    return root


@pytest.fixture
def client(filled: Path) -> TestClient:
    return TestClient(create_app(filled))


def test_segments_are_the_same_through_service_and_library(client: TestClient, root: Path) -> None:
    first = client.post("/api/v1/runs/a/segments", json={"step": 3}).json()
    RunReader(root, "a").read(3)
    log = client.get("/api/v1/runs/a/ledger").json()
    assert log == [*Catalog(root).log("runs/a/ledger").read()]
    assert log[: len(first)] == first
    assert client.post("/api/v1/runs/a/segments", json={"step": 3, "start": 1}).json() == log[1:]


def test_the_next_segment_is_written_when_the_current_one_is_asked_for(filled: Path) -> None:
    Runs(filled).create("b", mixture="m@1", seed=1, global_batch=1, segment_batches=8)
    with TestClient(create_app(filled)) as client:  # one event loop for both requests
        client.post("/api/v1/runs/b/segments", json={"step": 0})
        client.post("/api/v1/runs/b/segments", json={"step": 100})  # waits for what is being written
    starts = [body["start"] for body in Catalog(filled).log("runs/b/ledger").read() if body["event"] == "segment"]
    assert starts == list(range(0, 112, 8))[: len(starts)]
    assert 8 in starts


def test_a_run_shows_target_and_realised(client: TestClient, root: Path) -> None:
    RunReader(root, "a").read(3)
    run = client.get("/api/v1/runs/a").json()
    assert sum(use["realised_samples"] for use in run["use"]) == run["end_step"] * 4
    assert client.get("/api/v1/runs").json()[0]["end_step"] == run["end_step"]
    assert client.get("/api/v1/streams").json()[0]["key"] == "python"
    assert client.get("/api/v1/growth", params={"stream": "raw/python"}).json()[-1]["tokens"] == 240


@pytest.mark.parametrize("path", ["streams", "runs", "runs/a", "runs/a/series"])
def test_what_has_not_changed_is_not_sent_again(client: TestClient, root: Path, path: str) -> None:
    first = client.get(f"/api/v1/{path}")
    again = client.get(f"/api/v1/{path}", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    RunReader(root, "a").read(0)
    Catalog(root).create_stream("raw/rust", seq_len=8)
    changed = client.get(f"/api/v1/{path}", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200


def test_a_mixture_is_previewed_edited_applied_and_compared(client: TestClient) -> None:
    settings = {"all.pin.python": 0.75}
    preview = client.post("/api/v1/mixtures/preview", json={"mixture": "m@1", "settings": settings, "tokens": 160}).json()
    assert {key["key"]: key["share"] for key in preview["keys"]} == pytest.approx({"python": 0.75, "go": 0.25})
    applied = client.post("/api/v1/mixtures", json={"mixture": "m@1", "settings": settings, "why": "more python"})
    assert applied.json() == {"mixture": "m@2"}
    changes = client.get("/api/v1/difference", params={"before": "m@1", "after": "m@2"}).json()
    assert {change["stream"]: change["after"] for change in changes}["raw/python"] == pytest.approx(0.75)
    page = client.get("/api/v1/mixtures/m").json()
    assert [(version["mixture"], version["why"]) for version in page["versions"]][-1] == ("m@2", "more python")
    assert "0.75" in client.get("/api/v1/mixtures/m/2").json()["toml"]
    assert client.get("/api/v1/mixtures").json() == [{"name": "m", "versions": 2, "mixture": "m@2"}]
    assert client.get("/api/v1/mixtures/schema").json()["$schema"]


def test_a_run_is_created_and_switched(client: TestClient) -> None:
    body = {"name": "b", "mixture": "m", "seed": 3, "global_batch": 8, "segment_batches": 2}
    assert client.post("/api/v1/runs", json=body).json()["mixture"] == "m@1"
    client.post("/api/v1/mixtures", json={"mixture": "m", "settings": {"all.pin.python": 0.75}})
    switched = client.post("/api/v1/runs/b/switch", json={"mixture": "m@2", "at_step": 4, "why": "try"}).json()
    assert switched == {"from_step": 4}
    events = client.get("/api/v1/runs/b/history").json()
    assert [(event["event"], event["why"]) for event in events] == [("created", None), ("switched", "try")]


def test_an_archived_run_is_in_another_list_and_comes_back(client: TestClient, root: Path) -> None:
    def names(query: str = "") -> list[str]:
        return [run["name"] for run in client.get(f"/api/v1/runs{query}").json()]

    refused = client.post("/api/v1/runs/a/archive", json={})
    assert (refused.status_code, refused.json()["kind"]) == (400, "RunError")
    Runs(root).end("a")
    before = client.get("/api/v1/runs").headers["etag"]
    assert client.post("/api/v1/runs/a/archive", json={"why": "done"}).json() == {"archived": True}
    assert client.get("/api/v1/runs", headers={"If-None-Match": before}).status_code == 200
    assert (names(), names("?archived=false"), names("?archived=true")) == ([], [], ["a"])
    hidden = client.get("/api/v1/runs?archived=true").headers["etag"]
    assert client.get("/api/v1/runs", headers={"If-None-Match": hidden}).json() == []
    assert client.get("/api/v1/runs/a").json()["ended"]
    assert client.post("/api/v1/runs/a/archive", json={"undo": True}).json() == {"archived": False}
    assert (names(), names("?archived=true")) == (["a"], [])
    assert client.post("/api/v1/runs/b/archive", json={}).status_code == 404
    assert client.get("/api/v1/runs?archived=perhaps").status_code == 400


def test_the_pool_is_scaled_and_unknown_without_redis(client: TestClient) -> None:
    assert client.get("/api/v1/pool").json() == {"wanted": 0, "draining": False, "state": None, "rates": None}
    assert client.post("/api/v1/pool", json={"workers": 3}).json() == {"wanted": 3}
    assert client.post("/api/v1/pool", json={"workers": -1}).status_code == 400
    assert client.get("/api/v1/pool/files?verdict=rejected").json() == []


def test_writes_from_elsewhere_are_refused(client: TestClient) -> None:
    assert client.post("/api/v1/pool", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    for origin in (
        "http://evil.example",
        "null",
        "http://testserver.evil.example",
        "http://[",
        "http://[::1",
        "//testserver",
        "",
    ):
        assert client.post("/api/v1/pool", json={"workers": 1}, headers={"Origin": origin}).status_code == 403
    assert client.post("/api/v1/pool", json={"workers": 1}, headers={"Origin": "http://testserver"}).status_code == 200
    assert client.get("/api/v1/streams", headers={"Host": "evil.example"}).status_code == 403


def test_on_loopback_tokens_are_asked_of_writes_and_name_the_writer(filled: Path) -> None:
    client = TestClient(create_app(filled, tokens=TOKENS))
    assert client.post("/api/v1/pool", json={"workers": 1}).status_code == 401
    assert client.post("/api/v1/pool", json={"workers": 1}, headers=READ).status_code == 403
    assert client.post("/api/v1/pool", json={"workers": 1}, headers=WRITE).status_code == 200
    assert client.get("/api/v1/streams").status_code == 200
    assert client.get("/api/v1/streams", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.post("/api/v1/mixtures/preview", json={"mixture": "m"}).status_code == 200
    client.post("/api/v1/mixtures", json={"mixture": "m", "settings": {"all.max_passes": 3}}, headers=WRITE)
    assert client.get("/api/v1/mixtures/m").json()["versions"][-1]["by"] == "ann"
    sessions = [client.get("/api/v1/session", headers=headers).json() for headers in ({}, READ, WRITE)]
    assert [(found["role"], found["by"]) for found in sessions] == [("read", None), ("read", "eve"), ("write", "ann")]


def test_beyond_loopback_reads_need_a_token_too_and_pages_do_not(filled: Path) -> None:
    with pytest.raises(AccessError, match="needs tokens"):
        create_app(filled, loopback=False)
    client = TestClient(create_app(filled, tokens=TOKENS, loopback=False))
    for path in ("/api/v1/streams", "/api/v1/session", "/metrics"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=READ).status_code == 200
    for path in ("/", "/health", "/ready", "/openapi.json", "/library/plotly.min.js"):
        assert client.get(path).status_code == 200


def test_mistakes_are_answered_in_one_line(client: TestClient) -> None:
    absent = client.get("/api/v1/runs/none")
    assert (absent.status_code, absent.json()["kind"]) == (404, "RunError")
    assert "does not exist" in absent.json()["error"]
    assert client.get("/api/v1/mixtures/m/9").status_code == 404
    assert client.post("/api/v1/runs/a/switch", json={"mixture": "none"}).status_code == 400
    assert client.post("/api/v1/runs/a/segments", json={"step": 10**6}).status_code == 409
    assert client.delete("/api/v1/runs").json()["kind"] == "RequestError"
    assert "cannot be the name of a run" in client.get("/api/v1/runs/A").json()["error"]
    assert client.get("/api/v1/mixtures/m/01").status_code == 404
    assert client.get("/", headers={"X-Long": "a" * (1 << 15)}).status_code == 400


def test_figures_count_requests_by_route_and_show_the_catalog(client: TestClient) -> None:
    client.get("/api/v1/runs/a")
    client.get("/api/v1/runs/none")
    text = client.get("/metrics").text
    assert 'phasemix_requests_total{method="GET",route="/runs/{name}",status="200"} 1.0' in text
    assert 'phasemix_requests_total{method="GET",route="/runs/{name}",status="404"} 1.0' in text
    assert 'phasemix_stream_tokens{stream="raw/python"} 240.0' in text


def test_it_is_ready_when_the_store_takes_writes_and_leaves_no_probe(client: TestClient, root: Path) -> None:
    assert client.get("/ready").status_code == 200
    assert not list((root / "probes").iterdir())


def test_it_is_not_ready_as_soon_as_the_root_is_not_mounted(client: TestClient, root: Path) -> None:
    assert client.get("/ready").status_code == 200
    root.rename(root.with_name("disk"))
    for make in (lambda: None, root.mkdir):  # the folder where it was is gone, or empty
        make()
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert f"the root {root} that this process opened is gone" in answer.json()["error"]
        assert client.post("/api/v1/runs/a/pause", json={}).status_code == 503
        assert client.get("/api/v1/runs").status_code == 503
    assert list(root.iterdir()) == []
    root.rmdir()
    root.with_name("disk").rename(root)
    assert client.get("/ready").status_code == 200
    assert client.post("/api/v1/runs/a/pause", json={}).status_code == 200


def test_the_page_comes_with_a_policy_and_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "http" not in page.text


def test_demand_is_what_live_runs_miss(client: TestClient, root: Path) -> None:
    assert demand(root) == {"go": (256 * 2 // 2 - 30) * 8}


def test_scores_of_a_key_are_binned_listed_and_opened(root: Path) -> None:
    catalog = Catalog(root)
    for tier, scores in {"q00": (0.1, 0.2), "q50": (0.6, None)}.items():
        rows = [
            {
                "sample": n,
                "start": 0,
                "end": 8,
                "document": f"{tier}-{n}",
                "repository": "r",
                "path": f"{n}.py",
                "score": score,
            }
            for n, score in enumerate(scores)
        ]
        tokens = np.arange(16, dtype=np.uint16).reshape(2, 8)
        catalog.append(f"scored@edu/python/{tier}", tokens, seq_len=8, documents=rows)
    client, of = TestClient(create_app(root)), {"set": "scored@edu", "key": "python"}
    first = client.get("/api/v1/scores", params=of)
    found = first.json()
    assert (found["documents"], found["parts"], found["parts_read"]) == (3, 2, 2)
    assert sum(one["documents"] for one in found["bins"]) == 3
    again = client.get("/api/v1/scores", params=of, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    best, *_ = listed = client.get("/api/v1/scored", params=of).json()
    assert [one["document"] for one in listed] == ["q50-0", "q00-1", "q00-0"]
    worst = client.get("/api/v1/scored", params={**of, "order": "worst", "high": 0.2}).json()
    assert [one["document"] for one in worst] == ["q00-0"]
    (row,) = client.get("/api/v1/document", params={name: best[name] for name in ("stream", "part", "document")}).json()
    assert (row["path"], row["score"], row["end"]) == ("0.py", 0.6, 8)
    for path, query in {
        "scores": {**of, "key": "go"}, "scored": {**of, "limit": 33},
        "document": {"stream": "scored@edu/python/q00", "part": 1},
    }.items():  # fmt: skip
        assert client.get(f"/api/v1/{path}", params=query).status_code == 400
