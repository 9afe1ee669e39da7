"""A server on loopback that answers as it is told, and an environment that leads to it."""

import os
import threading
from collections.abc import Callable, Iterator

import pytest
from loopback_server import Server

from streamer.store import object_store


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, server: Server) -> Callable[..., None]:
    """environment(AWS_X="y") sets what is given beside keys and the server's address; None removes."""
    names = [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))]
    for name in names:
        monkeypatch.delenv(name)
    monkeypatch.setattr(object_store, "FIRST_RETRY_S", 0.2)

    def change(**values: str | None) -> None:
        found: dict[str, str | None] = {
            "AWS_ACCESS_KEY_ID": "AKIDHIDDEN",
            "AWS_SECRET_ACCESS_KEY": "secrethidden",
            "AWS_SESSION_TOKEN": "tokenhidden",
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ALLOW_HTTP": "true",
            **values,
        }
        for name, value in found.items():
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)

    change()
    return change
