"""Requests that are no honest request of this service are refused in words."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mixer.service import create_app


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/api/v1/runs/a/segments", {"step": "x"}, "step"),
        ("/api/v1/runs/a/segments", {"step": 1.5}, "step"),
        ("/api/v1/runs/a/segments", {"step": 0, "start": None}, "start"),
        ("/api/v1/runs/a/switch", {"mixture": "m", "at_step": "soon"}, "at_step"),
        ("/api/v1/runs/a/switch", {"mixture": 3}, "mixture"),
        ("/api/v1/pool", {"workers": -1}, "workers"),
    ],
)
def test_a_bad_body_is_answered_in_one_line(root: Path, path: str, body: dict[str, Any], said: str) -> None:
    answer = TestClient(create_app(root)).post(path, json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert not root.exists()


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1:8000", 200), ("[::1]:80", 200), ("localhost", 200), ("a.page", 403)]
)
def test_a_write_under_a_foreign_name_is_refused(root: Path, host: str, status: int) -> None:
    headers = {"host": host, "origin": f"http://{host}"}
    assert TestClient(create_app(root)).post("/api/v1/pool", json={"workers": 2}, headers=headers).status_code == status
    assert root.exists() == (status == 200)
