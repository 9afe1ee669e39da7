"""What comes out of folders, archives and Parquet files, and what is said about the rest."""

import gzip
import io
import json
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamer.corpus.recipe import Recipe, Source
from streamer.corpus.sources import archives
from streamer.corpus.sources.admission import Admission
from streamer.corpus.sources.contents import Contents
from streamer.corpus.sources.found_code import find_sources
from streamer.corpus.sources.ingest import count_files, read_source
from streamer.corpus.sources.raw_file import RawFile, Share
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


def pack_zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return out.getvalue()


def pack_tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as opened:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("outer", ["zip", "tar.gz"])
def test_archives_inside_archives_are_opened_to_a_depth(tmp_path: Path, outer: str) -> None:
    third = pack_zip({"deep.py": b"z = 1\n"})
    second = pack_tar({"b.py": b"y = 1\n", "third.jar": third})
    inner = {"a.py": b"x = 1\n", "lib/second.tgz": second, "broken.zip": b"no archive", "tests/t.zip": third}
    path = tmp_path / f"pkg.{outer}"
    path.write_bytes((pack_zip if outer == "zip" else pack_tar)(inner))
    plain = [("pkg", "a.py", "x = 1\n"), ("pkg", "broken.zip", "unreadable"), ("pkg", "lib/second.tgz/b.py", "y = 1\n")]
    deeper = [("pkg", "lib/second.tgz/third.jar/deep.py", "z = 1\n"), ("pkg", "tests/t.zip/deep.py", "z = 1\n")]
    assert [file for file in read(path, depth=0) if file[1].endswith(".py")] == plain[:1]
    closed = ("pkg", "lib/second.tgz/third.jar", "unknown_language")
    assert [file for file in read(path) if file[1] != closed[1]] == [*plain, deeper[1]]
    assert read(path, depth=2) == [*plain, *deeper]
    assert read(path, depth=2, include=("*.py",), exclude=("lib/*",)) == [
        plain[0], ("pkg", "broken.zip", "unreadable"), deeper[1],
    ]  # fmt: skip


def test_an_archive_of_archives_unpacks_to_no_more_than_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given twenty archives of a megabyte of nothing each, packed again to a few kilobytes."""
    monkeypatch.setattr("streamer.corpus.sources.archives.FREE_BYTES", 1 << 22)
    monkeypatch.setattr("streamer.corpus.sources.archives.MOST_UNPACKED", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "aside"))
    (tmp_path / "aside").mkdir()
    bomb = pack_zip({f"{number}.py": b" " * 999_999 for number in range(4)})
    path = tmp_path / "pkg.zip"
    path.write_bytes(pack_zip({f"{number}.zip": bomb for number in range(20)}))
    found = read(path)
    assert any(what == "too_large" for _, _, what in found)
    assert sum(len(what) for _, _, what in found if what != "too_large") < 6 << 20
    assert not list((tmp_path / "aside").iterdir())


@pytest.mark.parametrize(
    ("ending", "inner", "readers"), [("zip", "d/e.txt", 1), ("zip", "d/e.zip", 2), ("tar.gz", "d/e.txt", 2)]
)
def test_tasks_divide_an_archive_and_few_of_them_unpack_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, inner: str, readers: int
) -> None:
    """Given one that exceeds what it may unpack to, which must be at the same member for any number of tasks."""
    monkeypatch.setattr("streamer.corpus.sources.archives.FREE_BYTES", 50_000)
    monkeypatch.setattr("streamer.corpus.sources.archives.MOST_UNPACKED", 1)
    members = {f"{number}.py": b"x = 1\n" * number for number in range(400)}
    packed = {"zip": pack_zip, "tar.gz": pack_tar}[ending]({inner: pack_zip({"a.py": b"y = 1\n"}), **members})
    (tmp_path / f"pkg.{ending}").write_bytes(packed)
    source = Source(path=str(tmp_path / f"pkg.{ending}"))
    whole = list(read_source(source, seed=1))
    monkeypatch.setattr("streamer.corpus.sources.archives.SHARED_BYTES", len(packed))
    opened: list[int] = []
    read = archives.read_member if readers == 1 else archives.read_nested
    monkeypatch.setattr(archives, read.__name__, lambda *given: opened.append(1) or read(*given))
    shares = [list(read_source(source, seed=1, share=Share(rank, 5))) for rank in range(5)]
    assert sorted((file for share in shares for file in share), key=lambda file: file.order) == whole
    assert whole[-1].fault == DropReason.TOO_LARGE
    assert 50 < len(whole) < 300
    if readers == 1:
        assert len(opened) == len(whole) - 1  # each member once
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    else:
        assert sum(bool(share) for share in shares) == readers
        assert len(opened) == readers * (2 if inner.endswith("zip") else 1)
        monkeypatch.setattr("streamer.corpus.sources.archives.SHARED_BYTES", 1 << 25)
        assert sum(any(read_source(source, seed=1, share=Share(rank, 5))) for rank in range(5)) == 1


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


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
@pytest.mark.parametrize(
    ("table", "licenses"),
    [(STACK_1, ["MIT", "Apache-2.0 AND MIT"]), (GITHUB_CODE, ["mit", "apache-2.0"])],
    ids=["The Stack v1", "github-code"],
)
def test_columns_of_known_corpora_are_taken_over(
    tmp_path: Path, table: dict[str, list[object]], licenses: list[str], ending: str
) -> None:
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table(table), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in pa.table(table).to_pylist()))
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


def test_lines_that_are_no_rows_are_counted(tmp_path: Path) -> None:
    lines = [b"{torn", b'{"content": "x = 1", "path": "a.py"}', b"", b'{"path": "b.py"}', b'{"content": "\xff"}', b"[1]"]
    lines += [b'{"content": "' + b"y" * (1 << 24) + b'"}', b'{"content": "z = 1", "path": "c.py"}']
    (tmp_path / "mine.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "events.ndjson").write_text('{"event": 1}\n' * 100)
    assert read(tmp_path) == [
        ("events", "events.ndjson", "unreadable"), ("mine", "a.py", "x = 1"), ("mine", "b.py", "unreadable"),
        ("mine", "c.py", "z = 1"), ("mine", "row-0", "unreadable"), ("mine", "row-3", "not_utf8"),
        ("mine", "row-4", "unreadable"), ("mine", "row-5", "too_large"),
    ]  # fmt: skip
    shares = [
        list(read_source(Source(path=str(tmp_path / "mine.jsonl")), seed=1, share=Share(rank, 3))) for rank in range(3)
    ]
    assert [[file.order for file in share] for share in shares] == [[0, 3, 6], [1, 4], [2, 5]]
    with pytest.raises(
        CorpusError, match="events.ndjson cannot be read as JSON Lines: .*has the columns event; it needs content"
    ):
        read(tmp_path / "events.ndjson")


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


def test_each_content_is_fetched_by_the_one_task_that_has_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "contents").mkdir()
    table = contents(lambda name, data: (tmp_path / "contents" / name).write_bytes(data))
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    source = Source(path=str(tmp_path / "rows.parquet"), contents=str(tmp_path / "contents"), exclude=("3.py",))
    asked, load = [], Contents.load
    monkeypatch.setattr(Contents, "load", lambda self, name: asked.append(name) or load(self, name))
    shares = [list(read_source(source, seed=1, share=Share(rank, 3))) for rank in range(3)]
    assert [len(share) for share in shares] == [3, 2, 2]
    files = sorted((file for share in shares for file in share), key=lambda file: file.order)
    assert [(f.path, f.fault or f.data.decode()) for f in files] == [found for found in FETCHED if found[0] != "3.py"]
    assert sorted(map(str, asked)) == sorted(map(str, [*table["blob_id"][:3], *table["blob_id"][4:]]))


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
    with pytest.raises(CorpusError, match="is a file whose name ends in none of"):
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


def test_the_files_of_many_small_repositories_are_divided_evenly(tmp_path: Path) -> None:
    for number in range(80):
        (tmp_path / f"r{number}").mkdir()
        (tmp_path / f"r{number}" / "a.py").write_text(f"x = {number}\n")
    shares = [list(read_source(Source(path=str(tmp_path)), seed=1, share=Share(rank, 8))) for rank in range(8)]
    assert [len(share) for share in shares] == [10] * 8
    assert len({file.order for share in shares for file in share}) == 80


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


# git, licences, what is opted out


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits, with a link, a file that is too large, and a name that needs quotes."""
    place = tmp_path / "mine"
    place.mkdir()

    def git(*words: str) -> None:
        named = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *named, "-C", str(place), *words], check=True, capture_output=True)

    git("init")
    (place / "src").mkdir()
    (place / "src" / "a.py").write_text("x = 1\n")
    (place / "old.py").write_text("y = 1\n")
    git("add", "-A")
    git("commit", "-m", "one")
    git("tag", "v1")
    (place / "old.py").unlink()
    (place / "src" / '\u00e4 b".py').write_text("z = 1\n")
    (place / "huge.py").write_text("x = 1\n" * 200_000)
    (place / "after.py").write_text("w = 1\n")
    (place / "link.py").symlink_to("after.py")
    git("add", "-A")
    git("commit", "-m", "two")
    (place / "untracked.py").write_text("not = 1\n")
    return place


def test_a_repository_is_read_at_a_revision(repository: Path, tmp_path: Path) -> None:
    first = [("mine", "old.py", "y = 1\n"), ("mine", "src/a.py", "x = 1\n")]
    second = [
        ("mine", "after.py", "w = 1\n"), ("mine", "huge.py", "too_large"), ("mine", "link.py", "not_a_file"),
        ("mine", "src/a.py", "x = 1\n"), ("mine", "src/\u00e4 b\".py", "z = 1\n"),
    ]  # fmt: skip
    assert read(repository, revision="v1") == first
    assert read(repository, revision="main") == second
    bare = tmp_path / "bare" / "mine.git"
    subprocess.run(["git", "clone", "--bare", "--quiet", str(repository), str(bare)], check=True)
    assert read(bare) == second
    assert read(bare, revision="v1", include=("src/*",)) == first[1:]
    assert read(bare, revision="v1", exclude=("src/*",), repository="named") == [("named", "old.py", "y = 1\n")]
    before = sorted(path.as_posix() for path in bare.rglob("*"))
    read(bare)
    assert sorted(path.as_posix() for path in bare.rglob("*")) == before


@pytest.mark.parametrize(
    ("revision", "said"), [("v9", "no revision v9"), ("--all", "cannot be a revision"), ("main:src", "no revision main:src")]
)
def test_a_revision_that_there_is_not_is_one_line(repository: Path, revision: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said) as error:
        read(repository, revision=revision)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_repository_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(CorpusError, match="cannot be read by git: .*correct its path or its revision"):
        read(tmp_path / "plain", revision="main")


@pytest.mark.parametrize(("file", "damaged"), [("after.py", 0), ("huge.py", 1000)])  # git ends behind the head of the second
def test_a_damaged_object_is_counted(repository: Path, file: str, damaged: int) -> None:
    name = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", f"main:{file}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    place = repository / ".git" / "objects" / name[:2] / name[2:]
    place.chmod(0o600)
    place.write_bytes(place.read_bytes()[:damaged] + b"damaged")
    found = {path: what for _, path, what in read(repository, revision="main")}
    assert found[file] == "unreadable"
    assert found["src/a.py"] == "x = 1\n"
    assert found['src/\u00e4 b".py'] == "z = 1\n"


@pytest.mark.parametrize(
    ("license_name", "head", "is_taken"),
    [
        ("MIT", "", True),
        ("mit", "", True),
        ("GPL-3.0-only", "", False),
        ("unknown", "", False),
        ("", "", False),
        ("MIT OR GPL-3.0-only", "", True),
        ("MIT AND GPL-3.0-only", "", False),
        ("(Apache-2.0 AND MIT) OR Proprietary", "", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "", False),
        ("(MIT", "", False),
        ("MIT OR " * 5000, "", False),
        ("(" * 400 + "MIT", "", False),
        ("GPL-3.0-only", "# SPDX-License-Identifier: MIT\n", True),
        ("MIT", "// SPDX-License-Identifier: GPL-3.0-only\n", False),
        ("MIT", "/* SPDX-License-Identifier: Apache-2.0 */\n", True),
    ],
)
def test_only_allowed_licences_are_taken(license_name: str, head: str, is_taken: bool) -> None:
    file = RawFile(path="a.py", repository="o/r", license=license_name, data=f"{head}x = 1\n".encode())
    Admission(Recipe(sources=(Source(path="."),), licenses=("MIT", "Apache-2.0"))).judge(file)
    assert file.fault == (None if is_taken else DropReason.LICENSE)
    assert bool(file.data) == is_taken


def test_what_is_opted_out_is_counted(tmp_path: Path) -> None:
    listed = tmp_path / "opt_out.txt"
    listed.write_text("# asked in March\no/gone\n\no/r/private/*\n*/secret.py\n")
    admission = Admission(Recipe(sources=(Source(path="."),), opt_out=str(listed)))
    found = {}
    for where in (
        "o/gone|a.py",
        "o/gone2|a.py",
        "o/r|private/a.py",
        "o/r|public/a.py",
        "x/y|b/secret.py",
        "x/y|b/secrets.py",
    ):
        repository, path = where.split("|")
        file = RawFile(path=path, repository=repository, license="MIT", data=b"x = 1\n")
        admission.judge(file)
        found[where] = file.fault
    assert [where for where, fault in found.items() if fault] == ["o/gone|a.py", "o/r|private/a.py", "x/y|b/secret.py"]
    with pytest.raises(CorpusError, match="opt_out .*cannot be read"):
        Admission(Recipe(sources=(Source(path="."),), opt_out=str(tmp_path / "none.txt")))
