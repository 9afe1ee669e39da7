"""The wheel, built once, and installations of it in environments of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


def uv(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(UV), *words], capture_output=True, text=True, cwd=REPOSITORY)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = uv("build", "--quiet", "--wheel", "--out-dir", str(folder))
    if built.returncode and "CI" not in os.environ:
        pytest.skip(f"the wheel cannot be built without its build backend: {built.stderr.strip()[-200:]}")
    assert not built.returncode, built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def install(wheel: Path) -> Callable[..., Path]:
    """install(folder, extras="service") makes a virtual environment with the wheel, and returns its `bin`."""

    def installed(folder: Path, *, extras: str = "", resolution: str = "highest") -> Path:
        python = folder / "bin" / "python"
        uv("venv", "--quiet", "--python", sys.executable, str(folder))
        what = f"phasemix[{extras}] @ {wheel.as_uri()}" if extras else str(wheel)
        done = uv("pip", "install", "--quiet", "--python", str(python), "--resolution", resolution, what)
        if done.returncode and "CI" not in os.environ:
            pytest.skip(f"no package index here: {done.stderr.strip()[-200:]}")
        assert not done.returncode, done.stderr
        return folder / "bin"

    return installed
