"""The mixer's port: the same one each time, the next free one where another process has it, refused where it was named."""

import json
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.local_machine import absolute
from deploy.local.services import SupervisorError

LOOPBACK = "127.0.0.1"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where ports are remembered, and a short folder for sockets."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with tempfile.TemporaryDirectory(prefix="pm") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield


def up(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-P", "-m", "phasemix", "up", "--root", str(root), "--workers", "0", "--json", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120)


def down(root: Path) -> None:
    argv = [sys.executable, "-P", "-m", "phasemix", "down", "--root", str(root)]
    subprocess.run(argv, capture_output=True, check=True, timeout=120)


def address(started: "subprocess.CompletedProcess[str]") -> str:
    assert started.returncode == 0, started.stderr
    return next(str(row["address"]) for row in json.loads(started.stdout) if row["name"] == "mixer")


def own_port(root: Path) -> int:
    """A port of the test's own, which the root is said to have had last: 7427 may be in use on this machine."""
    port = ports.free_port()
    ports.remember(absolute(str(root)), port)
    return port


def test_a_root_keeps_its_port_also_after_another_process_had_it(root: Path) -> None:
    port = own_port(root)
    try:
        first = up(root)
        assert address(first) == f"http://{LOOPBACK}:{port}"
        assert "already in use" not in first.stderr
    finally:
        down(root)
    with socket.create_server((LOOPBACK, port)):
        try:
            second = up(root)
            moved = int(address(second).rpartition(":")[2])
            assert moved > port
            assert second.stderr.count("\n") == 1
            assert f"at port {port}; the dashboard is at port {moved}" in second.stderr
            with urllib.request.urlopen(f"{address(second)}/health", timeout=10) as answer:
                assert answer.status == 200
        finally:
            down(root)
    assert ports.remembered(absolute(str(root))) == moved


def test_a_root_without_a_port_begins_at_the_default(root: Path) -> None:
    with ports.listen_for(str(root), LOOPBACK, None).socket as listener:
        assert ports.DEFAULT_PORT <= listener.getsockname()[1] < ports.DEFAULT_PORT + ports.MOST_TRIED
    assert ports.remembered(str(root)) is None  # until the mixer runs there


def test_a_named_port_is_refused_where_it_is_taken_and_remembered_where_it_is_not(root: Path) -> None:
    port = own_port(root)
    with socket.create_server((LOOPBACK, 0)) as other:
        taken = other.getsockname()[1]
        refused = up(root, "--port", str(taken))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"port {taken} of {LOOPBACK} is taken by another process" in refused.stderr
    assert ports.remembered(absolute(str(root))) == port
    named = ports.free_port()
    try:
        assert address(up(root, "--port", str(named))).endswith(f":{named}")
    finally:
        down(root)
    assert ports.remembered(absolute(str(root))) == named


def test_any_free_port_is_for_once(root: Path) -> None:
    port = own_port(root)
    try:
        assert not address(up(root, "--port", "0")).endswith(f":{port}")
    finally:
        down(root)
    assert ports.remembered(absolute(str(root))) == port


def test_ports_beyond_the_last_are_not_tried(root: Path) -> None:
    ports.remember(str(root), ports.HIGHEST_PORT)
    with pytest.raises(SupervisorError, match="--port"), socket.create_server((LOOPBACK, ports.HIGHEST_PORT)):
        ports.listen_for(str(root), LOOPBACK, None)


@pytest.mark.parametrize("text", ["", "no port", "0", "65536", "-1", "\xff"])
def test_a_file_that_holds_no_port_is_as_good_as_none(root: Path, text: str) -> None:
    ports.remember(str(root), 1)
    ports.memory_of(str(root)).write_bytes(text.encode("latin-1"))
    assert ports.remembered(str(root)) is None


def test_a_port_that_cannot_be_remembered_is_said_in_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file where the folder would be")
    ports.remember(str(root), 7)
    assert ports.remembered(str(root)) is None
    said = capsys.readouterr().err
    assert "port 7 cannot be remembered" in said
    assert said.count("\n") == 1


def test_the_dashboard_opens_in_the_browser_that_was_chosen(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(browser))
    port = own_port(root)
    try:
        assert address(up(root, "--open")) == f"http://{LOOPBACK}:{port}"
        opened.unlink()
        assert address(up(root, "--open")) == f"http://{LOOPBACK}:{port}"  # what is up already is looked at
        assert "look at it with phasemix up --open" in up(root).stderr
    finally:
        down(root)
    assert opened.read_text() == f"http://{LOOPBACK}:{port}\n"


@pytest.mark.parametrize("chosen", [None, "/nonexistent/browser"])
def test_without_a_browser_the_address_is_said_and_the_services_run(
    root: Path, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "TERM"):
        monkeypatch.delenv(name, raising=False)
    if chosen is not None:
        monkeypatch.setenv("BROWSER", chosen)
    own_port(root)
    try:
        started = up(root, "--open")
        assert f"open {address(started)} yourself" in started.stderr
        assert started.stderr.count("\n") == 2  # and that the root is new
        assert chosen is None or chosen in started.stderr
        with urllib.request.urlopen(f"{address(started)}/health", timeout=10) as answer:
            assert answer.status == 200
    finally:
        down(root)
