"""What comes out of folders, archives and Parquet files, and what is said about the rest."""

import gzip
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamer.corpus.recipe import Source
from streamer.corpus.sources.found_code import find_sources
from streamer.corpus.sources.ingest import count_files, read_source
from streamer.documents.document import Document
from streamer.documents.text import DropReason, decode
from streamer.errors import CorpusError, PartError
from streamer.publishing.document_files import read_documents
from streamer.store.object_store import ObjectStore


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


STACK_1 = {
    "content": ["x = 1\n", "package main\n"],
    "max_stars_repo_path": ["src/a.py", "main.go"],
    "max_stars_repo_name": ["o/r", "p/q"],
    "max_stars_repo_licenses": [["MIT"], ["Apache-2.0", "MIT"]],
    "max_stars_count": [3, None],
    "lang": ["Python", "Go"],
    "ext": ["py", "go"],
}
GITHUB_CODE = {
    "code": ["x = 1\n", "package main\n"], "path": ["src/a.py", "main.go"], "repo_name": ["o/r", "p/q"],
    "language": ["Python", "GO"], "license": ["mit", "apache-2.0"], "size": [6, 13],
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "licenses"),
    [(STACK_1, ["MIT", "Apache-2.0 AND MIT"]), (GITHUB_CODE, ["mit", "apache-2.0"])],
    ids=["The Stack v1", "github-code"],
)
def test_columns_of_known_corpora_are_taken_over(
    tmp_path: Path, table: dict[str, list[object]], licenses: list[str]
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(table), path)
    source = Source(path=str(path), license="unknown")
    found = [(f.path, f.repository, f.language, f.license, f.data) for f in read_source(source, seed=1)]
    assert found == [
        ("src/a.py", "o/r", "Python", licenses[0], b"x = 1\n"),
        ("main.go", "p/q", table.get("lang", table.get("language", []))[1], licenses[1], b"package main\n"),
    ]
    published = [document for document in read_documents(path, key="python") if isinstance(document, Document)]
    assert [(d.path, d.repository, d.language, d.license) for d in published] == [
        ("src/a.py", "o/r", "python", licenses[0]),
        ("main.go", "p/q", "go", licenses[1]),
    ]


def contents(put: Callable[[str, bytes], object]) -> dict[str, list[object]]:
    """Rows of The Stack v2, with the objects that they name: whole, missing, no gzip, torn, too large, twice."""
    whole, large = gzip.compress(b"x = 1\n"), gzip.compress(b"x = 1\n" * 200_000)
    for name, data in (("a1", whole), ("c3", b"no gzip"), ("d4", whole[:-9]), ("e5", large)):
        put(name, data)
    ids = ["a1", "b2", "c3", "d4", "e5", "a1", None, "../a1"]
    return {
        "blob_id": ids, "path": [f"{place}.py" for place in range(len(ids))], "repo_name": ["o/r"] * len(ids),
        "detected_licenses": [["MIT"]] * len(ids), "language": ["Python"] * len(ids),
    }  # fmt: skip


FETCHED = [
    ("0.py", "x = 1\n"), ("1.py", "no_content"), ("2.py", "unreadable"), ("3.py", "unreadable"), ("4.py", "too_large"),
    ("5.py", "x = 1\n"), ("6.py", "no_content"), ("7.py", "no_content"),
]  # fmt: skip


def test_contents_are_fetched_by_id_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "contents").mkdir()
    table = contents(lambda name, data: (tmp_path / "contents" / name).write_bytes(data))
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    found = read_source(Source(path=str(tmp_path / "rows.parquet"), contents=str(tmp_path / "contents")), seed=1)
    assert [(f.path, f.fault or f.data.decode()) for f in found] == FETCHED
    with pytest.raises(CorpusError, match="ids of contents"):
        list(read_source(Source(path=str(tmp_path / "rows.parquet")), seed=1))
    with pytest.raises(PartError, match="names contents and has no text"):
        list(read_documents(tmp_path / "rows.parquet", key="python"))


def test_contents_are_fetched_by_id_from_an_object_store(
    tmp_path: Path, s3_store: Callable[..., ObjectStore], s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = s3_store()
    pq.write_table(pa.table(contents(store.put_if_absent)), tmp_path / "rows.parquet")
    for name, value in (("ENDPOINT_URL", s3_endpoint), ("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    found = read_source(Source(path=str(tmp_path / "rows.parquet"), contents=store.url), seed=1)
    assert [(f.path, f.fault or f.data.decode()) for f in found] == FETCHED


def test_a_parquet_file_without_content_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "files.parquet")
    with pytest.raises(CorpusError, match="has the columns body; it needs content"):
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
