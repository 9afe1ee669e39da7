import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamer.catalog import part_files
from streamer.store.store import MemoryStore


def test_no_thread_of_arrow_holds_what_belongs_to_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held a moment too long, it would be released while the interpreter ends, which aborts the process."""
    path = tmp_path / "many.parquet"
    pq.write_table(pa.table({"a": range(3000), "b": list(map(str, range(3000)))}), path, row_group_size=100)
    data = path.read_bytes()
    monkeypatch.setattr(part_files, "load_file", lambda *_: data)
    part: Any = SimpleNamespace(file=lambda _: "its size and checksum", rows={})
    store = MemoryStore("memory:")
    held = sys.getrefcount(data)
    for _ in range(200):
        assert part_files.read_parquet(store, part, "many", ["a"], ("a", ">", 2)).num_rows == 2997
        assert sys.getrefcount(data) == held
