"""What comes out of folders, archives and Parquet files, and what is said about the rest."""

import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamer.corpus.recipe import Source
from streamer.corpus.sources.found_code import find_sources
from streamer.corpus.sources.ingest import count_files, read_source
from streamer.documents.text import DropReason, decode
from streamer.errors import CorpusError


def read(path: Path, **settings: object) -> list[tuple[str, str, str]]:
    """(repository, path, fault or text) of what a source yields."""
    source = Source(path=str(path), **settings)  # type: ignore[arg-type]
    return sorted((f.repository, f.path, f.fault or f.data.decode()) for f in read_source(source, seed=1))


@pytest.fixture
def archived(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "huge.py").write_text("x = 1\n" * 200_000)
    (tmp_path / "b.bin").write_bytes(b"\0\1\2")
    return tmp_path


EXPECTED = [("pkg-1.0", "a.py", "x = 1\n"), ("pkg-1.0", "b.bin", "binary"), ("pkg-1.0", "huge.py", "too_large")]


@pytest.mark.parametrize("ending", ["zip", "whl", "tar", "tar.gz", "tgz"])
def test_archives_give_their_files(archived: Path, ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("archives") / f"pkg-1.0.{ending}"
    if ending in ("zip", "whl"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for file in archived.iterdir():
                opened.write(file, file.name)
    else:
        with tarfile.open(path, "w:gz" if ending != "tar" else "w") as opened_tar:
            for file in archived.iterdir():
                opened_tar.add(file, file.name)
    assert read(path) == EXPECTED


def test_a_broken_archive_is_counted_not_raised(tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 nothing")
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8b nothing")
    assert [fault for _, _, fault in read(tmp_path)] == ["unreadable", "unreadable"]


def test_a_torn_tar_gives_what_it_has(archived: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = tmp_path_factory.mktemp("torn") / "pkg.tar.gz"
    with tarfile.open(whole, "w:gz") as opened:
        for number in range(50):
            opened.add(archived / "a.py", f"f{number}.py")
    whole.write_bytes(whole.read_bytes()[:-60])
    found = read(whole)
    assert ("pkg", "pkg.tar.gz", "unreadable") in found
    assert len(found) > 1


def test_parquet_columns_are_taken_over(tmp_path: Path) -> None:
    rows = [
        {"content": "fn f() {}\n", "path": "a.rs", "repo_name": "me/it", "language": "Rust", "license": "MIT"},
        {"content": None, "path": None, "repo_name": None, "language": None, "license": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "files.parquet")
    first, second = read_source(Source(path=str(tmp_path / "files.parquet")), seed=1)
    assert (first.repository, first.path, first.language, first.license) == ("me/it", "a.rs", "Rust", "MIT")
    assert (second.repository, second.path, second.fault) == ("files", "row-1", DropReason.UNREADABLE)


def test_a_parquet_file_without_content_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "files.parquet")
    with pytest.raises(CorpusError, match="has the columns text; it needs content"):
        read(tmp_path / "files.parquet")


def test_an_absent_source_and_one_of_no_known_kind_are_errors(tmp_path: Path) -> None:
    (tmp_path / "x.rar").write_bytes(b"x")
    with pytest.raises(CorpusError, match="does not exist"):
        read(tmp_path / "nothing")
    with pytest.raises(CorpusError, match="is no folder and ends in none of"):
        read(tmp_path / "x.rar")


def test_every_top_entry_of_a_folder_is_a_repository_unless_one_is_named(tmp_path: Path) -> None:
    for name in ("one/a.py", "two/b.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x = 1\n")
    assert [row[:2] for row in read(tmp_path)] == [
        (f"{tmp_path.name}/one", "one/a.py"),
        (f"{tmp_path.name}/two", "two/b.py"),
    ]
    assert {row[0] for row in read(tmp_path, repository="mine")} == {"mine"}


def test_a_budget_ends_a_source(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"f{number}.py").write_text("x = 1\n" * 100)
    found = read(tmp_path, max_mb=0.002)
    assert [row[2] for row in found].count("over_budget") == 1
    assert len(found) == 4


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"a\0b", "binary"),
        (b"x = 1\n" * 90 + b"\0\n", "nul_bytes"),
        ("x = '\ud800'".encode("utf-8", "surrogatepass"), "lone_surrogates"),
        (b"\xff\xfe", "empty"),
        (b"x" * 1_000_001, "too_large"),
    ],
)
def test_bytes_that_are_no_text_have_a_reason(data: bytes, reason: str) -> None:
    assert decode(data) == reason


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode("\ufeffx = 'é'\n".encode()) == ("x = 'é'\n", "utf-8")


def test_code_is_found_on_this_machine() -> None:
    found = find_sources(max_mb=1.0)
    assert sum(source.max_mb or 0 for source in found) == pytest.approx(1.0, abs=0.01)
    taken = [file for source in found for file in read_source(source, seed=1) if file.fault is None]
    assert 500_000 < sum(len(file.data) for file in taken) <= 1_000_000
    assert {"py"} < {file.path.rsplit(".", 1)[-1] for file in taken}


def test_the_files_of_folders_are_counted_before_they_are_read(sources: Path, tmp_path: Path) -> None:
    source = Source(path=str(sources))
    assert count_files([source]) == sum(1 for _ in read_source(source, seed=1))
    assert count_files([source, Source(path=str(sources), max_mb=1.0)]) == 0
    (tmp_path / "packed.zip").touch()
    assert count_files([Source(path=str(tmp_path))]) == 0
