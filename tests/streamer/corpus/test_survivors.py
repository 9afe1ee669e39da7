"""Which of several copies a corpus keeps, where its sources state stars and dates."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamer import Catalog
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe, Source
from streamer.documents.known_columns import UNKNOWN_STANDING, Standing, standing

STACK_1 = [  # (repository, stars, first star), in the order of their names
    ("a/unknown", None, None),
    ("b/few", 3, "2011-05-01T00:00:00.000Z"),
    ("c/late", 90, "2019-01-02T03:04:05.000Z"),
    ("d/early", 90, "2015-01-02T03:04:05.000Z"),
    ("e/undated", 90, None),
]
STACK_2 = [
    ("p/late", 0, datetime(2020, 1, 1)),
    ("q/early", 0, datetime(2012, 1, 1)),
    ("r/undated", 0, None),
]


def write(path: Path, columns: tuple[str, str, str], copies: list[tuple[str, Any, Any]], files: list[Path]) -> None:
    """A file of rows: each of the files in each repository, every second one changed a little."""
    rows = [
        {
            "content": file.read_text() + f"\n\nEXTRA = {repository!r}\n" * (place % 2),
            "path": file.name,
            columns[0]: repository,
            columns[1]: stars,
            columns[2]: date,
        }
        for place, file in enumerate(files)
        for repository, stars, date in copies
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("tasks", [1, 3])
def test_the_copy_with_more_stars_is_kept_then_the_earlier_then_the_first_by_name(
    sources: Path, recipe: Recipe, tmp_path: Path, tasks: int
) -> None:
    pytest.importorskip("streaming", reason="the corpus extra is not installed")
    (tmp_path / "in").mkdir()
    found = [sorted((sources / name).glob("[a-z]*.py")) for name in ("asyncio", "email", "logging")]
    modules = [[file for file in files if file.stat().st_size > 5000] for files in found]  # large against what is changed
    first = ("max_stars_repo_name", "max_stars_count", "max_stars_repo_stars_event_min_datetime")
    write(tmp_path / "in" / "v1.parquet", first, STACK_1, modules[0])
    write(tmp_path / "in" / "v2.parquet", ("repo_name", "star_events_count", "committer_date"), STACK_2, modules[1])
    unknown = [("y/second", None, None), ("x/first", None, None)]
    write(tmp_path / "in" / "plain.parquet", ("repo_name", "forks", "size"), unknown, modules[2])
    given = msgspec.structs.replace(recipe, sources=(Source(path=str(tmp_path / "in")),), heldout_share=0.0)
    catalog = Catalog(tmp_path / "root")
    build(catalog, given, tasks=tasks)
    kept = {document.path: document for document in catalog.documents("documents/python")}
    for files, repository, copies in zip(modules, ("d/early", "q/early", "x/first"), (5, 3, 2), strict=True):
        names = {file.name for file in files} & kept.keys()
        assert {(kept[name].repository, kept[name].copies) for name in names} == {(repository, copies)}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, UNKNOWN_STANDING),
        ({"max_stars_count": 7.0, "committer_date": "1970-01-02"}, Standing(7, 86400.0)),
        ({"star_events_count": 7, "revision_date": 5}, Standing(7, 5.0)),
        ({"max_stars_count": float("nan"), "committer_date": "in May"}, UNKNOWN_STANDING),
        ({"max_stars_count": -3, "committer_date": 10**400}, UNKNOWN_STANDING),
        ({"max_stars_count": "many", "committer_date": b"\xff"}, UNKNOWN_STANDING),
        ({"committer_date": "1970-01-01T00:00:00Z"}, UNKNOWN_STANDING),  # what tools write for a time that they do not have
    ],
)
def test_what_is_no_number_of_stars_and_no_date_is_not_known(row: dict[str, Any], expected: Standing) -> None:
    assert standing(row) == expected
