"""Orders and draining over HTTP: the same entries as the command line writes, and what is missing said in one line."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from deploy.local.service_process import application
from generators.planning.orders import load_orders, place_order
from mixer.client.client import MixerClient
from mixer.pool import pool
from mixer.service.access import Token
from streamer import Catalog

PATIENCE_S = 60
ORDERS, DRAIN = "/api/v1/pool/orders", "/api/v1/pool/drain"


def test_an_order_over_http_is_the_entry_that_the_command_line_writes(seeded: Catalog) -> None:
    client = TestClient(application(seeded.store))
    place_order(seeded, "scored/*", files=7)
    answer = client.post(ORDERS, json={"from": "scored/*", "files": 7})
    assert answer.json() == {"order": 1, "from": "scored/*", "language": None, "files": 7, "published": 0}
    first, second = seeded.log("orders/generators").read()
    assert first == second
    assert [row["order"] for row in client.get(ORDERS).json()] == [0, 1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"from": "nothing/*", "files": 1}, "no stream with documents matches 'nothing/*'"),
        ({"from": "scored/*", "files": 1, "language": "go"}, "of language go"),
        ({"from": "heldout/*", "files": 1}, "never seed documents"),
        ({"from": "scored/*", "files": 0}, "files"),
        ({"from": "scored/*"}, "files"),
        ({"files": 1}, "from"),
        ({"from": "scored/*", "files": 1, "language": "../go"}, "language"),
        ({"from": "scored/*", "files": 1, "glob": "raw/*"}, "its keys are from, files, language"),
    ],
)
def test_an_order_that_cannot_be_placed_is_one_line_and_no_entry(seeded: Catalog, body: dict[str, Any], said: str) -> None:
    answer = TestClient(application(seeded.store)).post(ORDERS, json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert load_orders(seeded) == []


def test_a_stream_without_its_texts_gives_no_seed_documents(root: Path) -> None:
    bare = Catalog(root.parent / "bare")
    bare.append("scored/python", np.ones((2, 8), np.uint16), seq_len=8)
    answer = TestClient(application(bare.store)).post(ORDERS, json={"from": "scored/*", "files": 1})
    assert (answer.status_code, answer.json()["kind"]) == (400, "OrderError")
    assert "documents/python, which is empty; ingest a corpus" in answer.json()["error"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "this service was started without Redis"),
        ("redis://:secret@127.0.0.1:1/0", "Redis at redis://127.0.0.1:1/0 does not answer"),
        ("what", "cannot be the address of a Redis"),
    ],
)
def test_a_pool_without_redis_does_not_drain_and_the_reason_is_said(seeded: Catalog, url: str | None, said: str) -> None:
    pool.set_wanted(seeded, 2)
    answer = TestClient(application(seeded.store, url)).post(DRAIN, json={})
    assert (answer.status_code, answer.json()["kind"]) == (400, "QueueError")
    assert said in answer.json()["error"]
    assert "secret" not in answer.json()["error"]
    assert (pool.wanted(seeded), pool.draining(seeded)) == (2, False)


def test_draining_is_an_entry_that_scaling_ends(seeded: Catalog, redis_url: str) -> None:
    client = TestClient(application(seeded.store, redis_url))
    client.post("/api/v1/pool", json={"workers": 2})
    assert client.post(DRAIN, json={}).json() == {"draining": True, "waiting": 0, "running": 0, "unpublished": 0}
    assert client.get("/api/v1/pool").json()["draining"]
    assert pool.draining(Catalog(seeded.store))
    client.post("/api/v1/pool", json={"workers": 2})
    assert not client.get("/api/v1/pool").json()["draining"]


def test_only_a_token_of_role_write_orders_and_drains(seeded: Catalog, redis_url: str) -> None:
    tokens = (Token("eve", "read", "r" * 20), Token("ann", "write", "w" * 20))
    client = TestClient(application(seeded.store, redis_url, tokens=tokens))
    for path, body in ((ORDERS, {"from": "scored/*", "files": 1}), (DRAIN, {})):
        for secret, status in ((None, 401), ("r" * 20, 403), ("w" * 20, 200)):
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            assert client.post(path, json=body, headers=headers).status_code == status
    assert client.get(ORDERS).status_code == 200


def test_the_document_of_the_api_has_these_routes(seeded: Catalog) -> None:
    document = application(seeded.store).openapi()
    assert {*document["paths"][ORDERS]} == {"get", "post"}
    assert {*document["paths"][DRAIN]} == {"post"}
    body = document["paths"][ORDERS]["post"]["requestBody"]["content"]["application/json"]["schema"]
    seed = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert (sorted(seed["required"]), "from" in seed["properties"]) == (["files", "from"], True)


def test_the_client_has_a_method_for_each(seeded: Catalog, root: Path, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = (str(root), str(listener.fileno()), "loopback")
        argv = [sys.executable, "-P", "-m", "deploy.local.service_process", *words]
        environment = {**os.environ, "PHASEMIX_REDIS": redis_url}
        process = subprocess.Popen(argv, pass_fds=[listener.fileno()], env=environment)
    try:
        client = MixerClient(address, timeout_s=PATIENCE_S)
        placed = client.order("scored/*", files=3, language="python")
        assert (placed.glob, placed.files) == ("scored/*", 3)
        assert client.orders() == [placed]
        assert client.drain().draining
        assert client.pool().draining
    finally:
        process.terminate()
        process.wait()
