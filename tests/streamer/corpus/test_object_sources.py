"""Sources in a bucket give what the same files in a folder give, and what goes wrong there is said or counted."""

import http.server
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faulty_proxy import faulty_proxy

from streamer import Catalog
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe, Source
from streamer.corpus.sources import archives, objects
from streamer.corpus.sources.ingest import read_source
from streamer.corpus.sources.objects import list_objects, listing_place
from streamer.corpus.sources.raw_file import RawFile, Share
from streamer.corpus.work_folder import PLACE, key_of
from streamer.errors import CorpusError
from streamer.store.object_store import ObjectStore

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


class Bucket:
    """A new bucket of the loopback server."""

    def __init__(self, endpoint: str) -> None:
        import boto3

        self.name = f"bucket{secrets.token_hex(6)}"
        self.url = f"s3://{self.name}"
        self._client: Any = boto3.client("s3", endpoint_url=endpoint, **KEYS)
        self._client.create_bucket(Bucket=self.name)

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=data)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=key)

    def upload(self, folder: Path, prefix: str) -> str:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{self.url}/{prefix}"


@pytest.fixture
def environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets where the object store is; at first the loopback server."""

    def point_to(endpoint: str) -> None:
        for name, value in (("ENDPOINT_URL", endpoint), ("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")

    point_to(s3_endpoint)
    return point_to


@pytest.fixture
def bucket(s3_endpoint: str, environment: Callable[[str], None]) -> Bucket:
    return Bucket(s3_endpoint)


@pytest.fixture
def folder(tmp_path: Path, sources: Path) -> Path:
    """Loose files, repositories with a licence and without, folders and files whose names sort apart, archives, Parquet."""
    root = tmp_path / "here" / "mine"
    for name in ("json", "email", "asyncio", "books", "arithmetic", "html"):
        shutil.copytree(sources / name, root / name)
    (root / "json" / "package.json").write_text('{"license": "MIT"}')
    (root / "json" / ".git").mkdir()
    (root / "json" / ".git" / "hidden.py").write_text("hidden = 1\n")
    (root / "json" / "a-b").mkdir()
    (root / "json" / "a-b" / "\u00e4 b#c~[x]%41.py").write_text("odd = 1\n")
    (root / "json" / "a").mkdir()
    (root / "json" / "a" / "last.py").write_text("last = 1\n")
    (root / "json" / "a.py").write_text("first = 1\n")
    (root / "json" / "huge.py").write_text("x = 1\n" * 200_000)
    (root / "json" / "empty.py").touch()
    (root / "loose.py").write_text("loose = 1\n")
    (root / "picture.png").write_bytes(b"\x89PNG\0\0" * 2000)
    for ending, form in (("zip", "zip"), ("tar.gz", "gztar")):
        shutil.make_archive(str(root / f"pack-{ending[:3]}"), form, sources / {"zip": "http", "gztar": "logging"}[form])
    (root / "broken.whl").write_bytes(b"PK\3\4 nothing")
    rows = [
        {"content": path.read_text(), "path": path.name, "repo_name": "o/xml"} for path in (sources / "xml").rglob("*.py")
    ]
    pq.write_table(pa.Table.from_pylist(rows), root / "rows.parquet")
    (root / "rows.jsonl").write_text("".join(json.dumps({**row, "repo_name": "o/j"}) + "\n" for row in rows[:5]))
    return root


def told(files: Iterator[RawFile]) -> list[tuple[Any, ...]]:
    return [(file.repository, file.path, file.license, file.fault, file.data) for file in files]


def hashes(catalog: Catalog) -> dict[str, list[str]]:
    return {
        found.name: [shard.xxh3 for part in catalog.stream(found.name).parts for shard in part.shards]
        for found in catalog.streams()
    }


@pytest.mark.parametrize("size", [1, 3])
def test_a_bucket_gives_the_files_of_a_folder_in_its_order(bucket: Bucket, folder: Path, size: int) -> None:
    url = bucket.upload(folder, "some/mine")
    for marker in ("some/mine/", "some/mine/json/"):  # as consoles put for folders
        bucket.put(marker, b"")
    for settings in ({}, {"repository": "o/r", "include": ("*.py",)}, {"max_mb": 0.2}):
        expected = told(read_source(Source(path=str(folder), **settings), seed=1))
        shares = [read_source(Source(path=f"{url}/", **settings), seed=1, share=Share(rank, size)) for rank in range(size)]
        found = sorted((file for share in shares for file in share), key=lambda file: file.order)
        assert told(iter(found)) == expected
        assert len(expected) > 10


@pytest.mark.parametrize("name", ["pack-zip.zip", "pack-tar.tar.gz", "rows.parquet", "rows.jsonl", "broken.whl"])
@pytest.mark.parametrize("readers", [1, 2])
def test_one_object_is_a_source_that_few_tasks_fetch(
    bucket: Bucket, folder: Path, name: str, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.upload(folder, "mine")
    expected = told(read_source(Source(path=str(folder / name)), seed=1))
    if readers == 2:
        monkeypatch.setattr(archives, "SHARED_BYTES", (folder / name).stat().st_size)
    fetched, read_range = [], ObjectStore.read_range
    monkeypatch.setattr(ObjectStore, "read_range", lambda self, *given: fetched.append(1) or read_range(self, *given))
    shares = [list(read_source(Source(path=f"{url}/{name}"), seed=1, share=Share(rank, 3))) for rank in range(3)]
    found = sorted((file for share in shares for file in share), key=lambda file: file.order)
    assert told(iter(found)) == expected
    assert len(fetched) == readers


def test_what_is_too_large_is_not_fetched_and_of_other_files_only_the_head(
    bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.upload(folder, "mine")
    fetched: dict[str, int] = {}
    read_range = ObjectStore.read_range

    def note(self: ObjectStore, found: Any, start: int, size_bytes: int) -> bytes | None:
        fetched[found.key] = fetched.get(found.key, 0) + size_bytes
        return read_range(self, found, start, size_bytes)

    monkeypatch.setattr(ObjectStore, "read_range", note)
    monkeypatch.setattr(objects, "MOST_OBJECT_BYTES", (folder / "rows.parquet").stat().st_size - 1)
    found = {file.path: file.fault for file in read_source(Source(path=url), seed=1)}
    assert (found["json/huge.py"], found["rows.parquet"]) == ("too_large", "too_large")
    assert found["json/empty.py"] is None
    assert not fetched.keys() & {"mine/json/huge.py", "mine/json/empty.py", "mine/rows.parquet", "mine/json/.git/hidden.py"}
    assert fetched["mine/picture.png"] == 4096
    assert fetched["mine/json/a.py"] == (folder / "json" / "a.py").stat().st_size


def test_what_changes_after_it_was_listed_is_counted(bucket: Bucket, folder: Path, tmp_path: Path) -> None:
    source = Source(path=bucket.upload(folder, "mine"))
    listing_place(tmp_path, source).write_bytes(msgspec.msgpack.encode(list_objects(source)))
    before = set(told(read_source(source, seed=1)))
    bucket.delete("mine/json/a.py")
    bucket.put("mine/loose.py", b"other = 1\n")
    bucket.put("mine/json/encoder.py", b"\n")
    bucket.put("mine/pack-zip.zip", b"PK")
    bucket.put("mine/late.py", b"late = 1\n")
    after = set(told(read_source(source, seed=1, work=tmp_path)))
    changed = {path: fault for _, path, _, fault, _ in after - before}
    assert changed == dict.fromkeys(("json/a.py", "loose.py", "json/encoder.py", "pack-zip.zip"), "unreadable")


def test_an_object_that_comes_while_tasks_read_is_said(bucket: Bucket, recipe: Recipe, tmp_path: Path) -> None:
    for number in range(30):
        bucket.put(f"in/m{number}.py", b"value_%d = 1\n" % number)
    given = msgspec.structs.replace(recipe, sources=(Source(path=f"{bucket.url}/in"),))
    with pytest.raises(CorpusError, match=r"a source changed while it was read.*--tasks 1"):
        build(Catalog(tmp_path / "root"), given, tasks=2, progress=lambda *_: bucket.put("in/late.py", b"late = 1\n"))


def test_the_key_of_a_build_holds_what_a_bucket_has_but_the_root_in_it(bucket: Bucket, recipe: Recipe) -> None:
    bucket.put("in/a.py", b"x = 1\n")
    bucket.put("in/b.py", b"y = 1\n")
    given = msgspec.structs.replace(recipe, sources=(Source(path=f"{bucket.url}/in"),))

    def key() -> str:
        return key_of(given, 2, None, without=[f"{bucket.url}/in/root"])

    first = key()
    bucket.put("in/root/streams/0", b"of the root")
    bucket.put("other/c.py", b"z = 1\n")
    assert key() == first
    bucket.put("in/a.py", b"x = 2\n")
    second = key()
    bucket.delete("in/b.py")
    assert len({first, second, key()}) == 3


class Denies(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        data = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def denying() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denies) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "settings", "said"),
    [
        ("s3://{name}x/in", {}, "source s3://.* cannot be listed: bucket .*x does not exist"),
        ("s3://{name}/nothing", {}, "/nothing has no object; correct its bucket or prefix"),
        ("s3://{name}/git", {}, "is read as a git repository, which git reads from a disk alone"),
        ("s3://{name}/in", {"revision": "main"}, "is read as a git repository"),
        ("s3://user:secret@{name}/in", {}, "cannot be opened"),
        ("s3://{name}/in/a.py", {}, "is a file whose name ends in none of"),
        ("s3://{name}/many", {}, "has more than 5 objects; name several sources"),
    ],
)
def test_a_bucket_that_cannot_be_a_source_is_one_line(
    bucket: Bucket,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    settings: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setattr(objects, "MOST_OBJECTS", 5)
    for key in (
        "in/a.py",
        "git/HEAD",
        "git/objects/pack/x",
        "git/packed-refs",
        *(f"many/{number}.py" for number in range(6)),
    ):
        bucket.put(key, b"x = 1\n")
    source = Source(path=path.format(name=bucket.name), **settings)
    with pytest.raises(CorpusError, match=said) as error:
        build(Catalog(tmp_path / "root"), msgspec.structs.replace(recipe, sources=(source,)))
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert not list((tmp_path / "root").rglob("*.spool"))


def test_denied_access_is_one_line_before_anything_is_built(
    environment: Callable[[str], None], denying: str, recipe: Recipe, tmp_path: Path
) -> None:
    environment(denying)
    given = msgspec.structs.replace(recipe, sources=(Source(path="s3://somebodys/in"),))
    with pytest.raises(
        CorpusError, match="source s3://somebodys cannot be listed: access was denied .*AccessDenied"
    ) as error:
        build(Catalog(tmp_path / "root"), given)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("fault", ["500", "cut", "drop"])
def test_faults_of_the_store_that_pass_are_waited_for(
    bucket: Bucket, folder: Path, s3_endpoint: str, environment: Callable[[str], None], fault: str
) -> None:
    source = Source(path=bucket.upload(folder, "mine"))
    expected = told(read_source(source, seed=1))
    with faulty_proxy(s3_endpoint) as proxy:
        proxy.meets = lambda method, path: method == "GET"
        proxy.faults.extend([fault] * 3)
        environment(proxy.url)
        assert told(read_source(source, seed=1)) == expected
        assert not proxy.faults


def test_faults_that_do_not_pass_end_it_with_the_objects_name(
    bucket: Bucket, s3_endpoint: str, environment: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in/a.py", b"x = 1\n")
    monkeypatch.setattr("streamer.store.object_store.RETRY_S", 0.5)
    monkeypatch.setattr("streamer.store.object_store.FIRST_RETRY_S", 0.5)
    with faulty_proxy(s3_endpoint) as proxy:
        proxy.meets, proxy.for_ever = lambda method, path: path.endswith("a.py"), "500"
        environment(proxy.url)
        with pytest.raises(
            CorpusError, match="source s3://.*/in cannot be read: s3://.*/in/a.py cannot be read: the server"
        ):
            list(read_source(Source(path=f"{bucket.url}/in"), seed=1))


KILLED = """
import os, signal, sys
from pathlib import Path
import msgspec
from streamer import Catalog
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe
from streamer.corpus.sources import ingest

def read_row_files(place, *given, **named):
    assert place.stat().st_size > 1000  # the fetched object is on the disk
    os.kill(os.getpid(), signal.SIGKILL)

ingest.read_row_files = read_row_files
recipe = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Recipe)
build(Catalog(sys.argv[2]), recipe, tasks=3)
"""


def test_a_corpus_from_a_bucket_is_the_corpus_from_the_folder_also_after_a_kill(
    bucket: Bucket, folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """Given a task that is killed while an object that it fetched is on the disk, of which nothing may be left."""
    pytest.importorskip("streaming", reason="the corpus extra is not installed")
    here, there = Source(path=str(folder)), Source(path=bucket.upload(folder, "mine"))
    given = msgspec.structs.replace(recipe, sources=(there,), heldout_share=0.1)
    (tmp_path / "recipe.json").write_bytes(msgspec.json.encode(given))
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "recipe.json", "three"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path / "temporary")},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    work = tmp_path / "three" / PLACE
    (listing,) = work.glob("listing-*")
    large = (folder / "rows.parquet").stat().st_size
    assert not [path for path in work.rglob("*") if path.is_file() and path != listing and path.stat().st_size == large]
    assert not list((tmp_path / "temporary").iterdir())
    made = {}
    for name, source, tasks in (("three", there, 3), ("one", there, 1), ("folder", here, 1)):
        report = build(Catalog(tmp_path / name), msgspec.structs.replace(given, sources=(source,)), tasks=tasks)
        made[name] = (hashes(Catalog(tmp_path / name)), report.dropped, report.files)
    assert made["one"] == made["folder"]
    assert made["three"] == made["folder"]
    assert not work.exists()


def test_archives_of_a_bucket_are_read_by_one_task_each(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("a.py", f"x = {number}\n")
        bucket.put(f"in/{number}.zip", (tmp_path / "a.zip").read_bytes())
    fetched, read_range = [], ObjectStore.read_range
    monkeypatch.setattr(
        ObjectStore, "read_range", lambda self, found, *given: fetched.append(found.key) or read_range(self, found, *given)
    )
    shares = [list(read_source(Source(path=f"{bucket.url}/in"), seed=1, share=Share(rank, 4))) for rank in range(4)]
    assert [len(share) for share in shares] == [3, 3, 3, 3]
    assert sorted(fetched) == sorted(f"in/{number}.zip" for number in range(12))
