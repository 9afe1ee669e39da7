"""Names in an index.json that no file system takes."""

from pathlib import Path

import msgspec
import pytest

from streamer.errors import PartError
from streamer.mds.folder import MdsFolder


@pytest.mark.parametrize("name", ["x" * 5000, "é" * 200, "a/" + "x" * 256, "a\x1bb", "../x", "/x", "a\0b"])
def test_a_shard_whose_name_is_none_is_refused_with_the_index(tmp_path: Path, name: str) -> None:
    shard = {
        "column_encodings": ["bytes"],
        "column_names": ["tokens"],
        "column_sizes": [None],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "raw_data": {"basename": name, "bytes": 10, "hashes": {}},
        "samples": 1,
        "size_limit": 1 << 26,
        "version": 2,
        "zip_data": None,
    }
    (tmp_path / "index.json").write_bytes(msgspec.json.encode({"shards": [shard], "version": 2}))
    with pytest.raises(PartError, match=r"index\.json names .* not a path inside the folder") as refused:
        MdsFolder(tmp_path)
    assert len(str(refused.value)) < 1000
