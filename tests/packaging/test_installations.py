"""What `pip install .` gives today, without the lock: the newest versions that are allowed, and the oldest."""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ALLOWED = {"phasemix.py", "streamer", "mixer", "generators", "training", "deploy"}


def test_a_wheel_carries_the_five_packages_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        typed = {name.split("/")[0] for name in archive.namelist() if name.count("/") == 1 and name.endswith("/py.typed")}
        licences = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    assert {top for top in tops if not top.endswith(".dist-info")} == ALLOWED
    assert typed == ALLOWED - {"phasemix.py"}
    assert len(licences) == 1


@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
def test_an_installation_works(resolution: str, install: Callable[..., Path], tmp_path: Path) -> None:
    """Given the newest or the oldest allowed versions, then a run is read and `up` and `down` work."""
    python = install(tmp_path / "venv", extras="generators,service", resolution=resolution) / "python"
    with tempfile.TemporaryDirectory(prefix="pm") as runtime:  # short enough for Unix sockets
        environment = {**os.environ, "XDG_RUNTIME_DIR": runtime, "PHASEMIX_CACHE": str(tmp_path / "cache")}
        argv = [str(python), "-P", str(Path(__file__).with_name("smoke.py")), str(tmp_path / "root")]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.stdout, done.returncode) == ("works\n", 0), done.stderr


@pytest.mark.parametrize("package", ["streamer", "mixer", "generators", "training", "deploy"])
def test_a_folder_that_hides_a_package_is_named_in_one_line(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("phasemix")), "streams", "list", "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"phasemix: {tmp_path / package} hides phasemix's own package {package}")
    assert done.stderr.count("\n") == 1


def test_a_folder_beside_the_user_is_not_in_the_way(tmp_path: Path) -> None:
    """Given a working folder with a `deploy` of its own, then `phasemix` and its child processes run ours."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "__init__.py").write_text("raise SystemExit('the wrong deploy')")
    with tempfile.TemporaryDirectory(prefix="pm") as runtime:
        environment = {**os.environ, "XDG_RUNTIME_DIR": runtime}
        for verb in ("up", "down"):
            words = [str(Path(sys.executable).with_name("phasemix")), verb, "--root", str(tmp_path / "root")]
            done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
            assert done.returncode == 0, done.stderr
