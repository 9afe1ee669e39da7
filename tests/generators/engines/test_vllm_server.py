"""The command line that runs vLLM, on machines of several kinds; a real one is run by test_vllm."""

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.command_line import main
from generators.commands.engine import is_healthy
from generators.engines import vllm_server
from generators.engines.vllm_server import Machine, find_python, server_of, this_machine
from generators.errors import EngineError

REPOSITORY = Path(__file__).resolve().parents[3]
SMALL = Machine(gpus=0, cores=2, memory_bytes=24 << 30)


def words(server_argv: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(server_argv, server_argv[1:], strict=False))


def test_a_cpu_gets_few_sequences_and_a_quarter_of_its_memory(tmp_path: Path) -> None:
    (tmp_path / "coder-1b").mkdir()
    found = server_of(str(tmp_path / "coder-1b"), python="py", port=7, machine=SMALL, name=None, more=["--seed", "3"])
    said = words(found.argv)
    assert (said["--served-model-name"], said["--max-num-seqs"], said["--dtype"]) == ("coder-1b", "16", "float32")
    assert found.argv[-2:] == ("--seed", "3")
    assert (found.environment["VLLM_CPU_KVCACHE_SPACE"], found.environment["HF_HUB_OFFLINE"]) == ("6", "1")
    assert found.url == "http://127.0.0.1:7/v1"


def test_each_gpu_has_a_copy_of_the_model() -> None:
    machine = Machine(gpus=4, cores=64, memory_bytes=1 << 40)
    found = server_of("org/coder", python="py", port=8000, machine=machine, name="coder", more=())
    said = words(found.argv)
    assert (said["--served-model-name"], said["--data-parallel-size"]) == ("coder", "4")
    assert not {"--dtype", "--enforce-eager"} & set(found.argv)
    assert "HF_HUB_OFFLINE" not in found.environment


def test_without_vllm_the_way_to_have_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="environment of its own and name the Python of that with --python"):
        find_python(None)
    with pytest.raises(EngineError, match="--python nowhere is not there"):
        find_python("nowhere")
    assert find_python(sys.executable) == sys.executable
    assert this_machine().cores > 0


def test_a_server_that_ends_at_once_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generators", "engine", "up", str(tmp_path), "--port", "1", "--python", sys.executable]) == 2
    assert "before it was ready; the reason stands above" in capsys.readouterr().err


def test_a_server_that_does_not_get_ready_is_told_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ntrap 'echo > {tmp_path}/ended; exit' TERM\nwhile :; do sleep 0.1; done\n")
    python.chmod(0o755)
    assert main(["generators", "engine", "up", "m", "--port", "1", "--python", str(python), "--timeout", "2"]) == 2
    assert "vLLM is not ready after 2 s" in capsys.readouterr().err
    assert (tmp_path / "ended").exists()


def test_a_python_that_cannot_be_run_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    python = tmp_path / "python"
    python.touch(mode=0o644)
    assert main(["generators", "engine", "up", "m", "--port", "1", "--python", str(python)]) == 2
    said = capfd.readouterr().err
    assert f"{python} cannot be run" in said
    assert "Traceback" not in said


def test_a_server_ends_when_the_command_is_killed(tmp_path: Path) -> None:
    """Given no program of the system's in reach, then the kernel is still asked for it."""
    python = tmp_path / "python"
    script = f"trap 'echo > {tmp_path}/ended; exit' TERM\necho > {tmp_path}/started\nwhile :; do /bin/sleep 0.1; done\n"
    python.write_text(f"#!/bin/sh\n{script}")
    no_programs = tmp_path / "none"
    no_programs.mkdir()
    python.chmod(0o755)
    words = ["generators", "engine", "up", "m", "--port", "1", "--python", str(python)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "phasemix", *words],
            cwd=REPOSITORY,
            env={**os.environ, "PATH": str(no_programs)},
            stdout=log,
            stderr=log,
        )
    for name in ("started", "ended"):
        deadline_s = time.monotonic() + 60
        while not (tmp_path / name).exists():
            assert time.monotonic() < deadline_s, name
            time.sleep(0.05)
        process.kill()
    assert process.wait(60) == -signal.SIGKILL


def test_flags_with_an_open_quote_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generators", "engine", "up", str(tmp_path), "--python", sys.executable, "--flags", "--x '"]) == 2
    assert "--flags --x ' cannot be split into words" in capsys.readouterr().err


def test_a_driver_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(vllm_server, "LIST_TIMEOUT_S", 0.1)
    with pytest.raises(EngineError, match="nvidia-smi -L does not list the GPUs"):
        this_machine()


def test_readiness_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert is_healthy(f"http://127.0.0.1:{server.server_port}/v1")
        server.shutdown()
    assert not is_healthy(f"http://127.0.0.1:{server.server_port}/v1")
