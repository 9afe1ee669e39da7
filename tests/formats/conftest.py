"""The committed catalogs."""

import shutil
from pathlib import Path

import make
import pytest


@pytest.fixture
def newest() -> Path:
    """The newest of them, which today's code must write too."""
    return make.HERE / f"catalog_{make.numbers()[-1]}"


@pytest.fixture
def old(newest: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(newest, tmp_path / "old"))
