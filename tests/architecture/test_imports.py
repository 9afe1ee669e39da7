"""Who imports whom, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT: dict[str, set[str]] = {
    "streamer": set(),
    "mixer": {"streamer"},
    "generators": {"mixer", "streamer"},
    "training": {"mixer", "streamer"},
    "deploy": {"streamer", "mixer", "generators", "training"},
}
HEAVY = {
    "torch",
    "composer",
    "transformers",
    "sentence_transformers",
    "streaming",
    "datatrove",
    "ray",
    "vllm",
    "sklearn",
    "matplotlib",
}


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_down(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert imported(path) & MAY_IMPORT.keys() <= MAY_IMPORT[package] | {package}, path


@pytest.mark.parametrize("package", ["streamer", "mixer", "generators", "deploy"])
def test_importing_a_room_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not HEAVY & {name.split(".")[0] for name in loaded.split()}


def test_the_reader_loads_neither_fastapi_nor_redis() -> None:
    code = "import sys, mixer, mixer.service; mixer.RunReader; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"fastapi", "redis"} & set(loaded.split())


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_file_is_a_drawer_for_anything(package: str) -> None:
    names = {path.stem for path in (ROOT / package).rglob("*.py")}
    assert not names & {"utils", "common", "helpers", "manager", "misc"}
