"""Fixtures that several rooms need. Nothing here reaches out: the hub variables say offline."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamer import Catalog

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")

SEQ_LEN = 8


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Shards of memory and object stores are cached where pytest cleans up, not in the user's own cache."""
    os.environ["PHASEMIX_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An absent root."""
    return tmp_path / "catalog"


@pytest.fixture
def fill(root: Path) -> Callable[..., Catalog]:
    """Appends parts: fill("raw/python", 30, 20) gives one of 30 and one of 20 samples; ids tell rows apart."""

    def append(name: str, *samples: int) -> Catalog:
        catalog = Catalog(root)
        for count in samples:
            rows = (np.arange(count * SEQ_LEN) % 60000).reshape(count, SEQ_LEN).astype(np.uint16)
            catalog.append(name, rows, seq_len=SEQ_LEN)
        return catalog

    return append
