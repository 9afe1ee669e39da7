"""Our shards are MDSWriter's, byte for byte, and stock StreamingDataset reads them."""

from pathlib import Path

import numpy as np
import pytest

from streamer import Catalog
from streamer.mds import layout as mds


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_shards_equal_those_of_mdswriter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    streaming = pytest.importorskip("streaming", reason="the corpus extra is not installed")
    rows = np.random.default_rng(0).integers(0, 60000, (3000, 256)).astype(dtype)
    monkeypatch.setattr(mds, "SHARD_BYTES", 1 << 20)
    columns = {"tokens": mds.tokens_encoding(dtype, 256)}
    with streaming.MDSWriter(out=str(tmp_path / "theirs"), columns=columns, size_limit=1 << 20) as writer:
        for row in rows:
            writer.write({"tokens": row})
    (tmp_path / "ours").mkdir()
    mds.write_shards(rows, tmp_path / "ours")
    theirs = sorted((tmp_path / "theirs").iterdir())
    assert [path.name for path in theirs] == sorted(path.name for path in (tmp_path / "ours").iterdir())
    assert len(theirs) > 2
    for path in theirs:
        assert path.read_bytes() == (tmp_path / "ours" / path.name).read_bytes(), path.name


def test_a_stock_streaming_dataset_reads_a_part(root: Path) -> None:
    streaming = pytest.importorskip("streaming", reason="the corpus extra is not installed")
    rows = np.random.default_rng(1).integers(0, 60000, (50, 16)).astype(np.uint16)
    snapshot = Catalog(root).append("raw/python", rows, seq_len=16)
    dataset = streaming.StreamingDataset(local=str(root / snapshot.parts[0].folder), batch_size=1)
    assert all((dataset[place]["tokens"] == rows[place]).all() for place in range(50))
