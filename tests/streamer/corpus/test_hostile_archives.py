"""Archives of a few kilobytes that would unpack to gigabytes, or go on for ever, are read within bounds."""

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.corpus.recipe import Source
from streamer.corpus.sources import archives
from streamer.corpus.sources.bounded_file import Allowance, ForwardFile, TooMuch
from streamer.corpus.sources.ingest import read_source

MOST_MB = 400
READ = """
import json, resource, sys
from pathlib import Path
from streamer.corpus.recipe import Source
from streamer.corpus.sources.ingest import read_source
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # so that a failure harms nobody
found = [[file.path[:50], file.fault or len(file.data)] for file in read_source(Source(path=sys.argv[1]), seed=0)]
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([found[-3:], len(found), int(status["VmHWM"].split()[0]) >> 10]))
"""
GOOD = b"x = 1\n"


def read(path: Path) -> list[tuple[str, str | int]]:
    return [(file.path, file.fault or len(file.data)) for file in read_source(Source(path=str(path)), seed=0)]


def member(name: str, data: bytes = GOOD, **fields: object) -> bytes:
    """One member of a tar, with some fields of its header as they should not be."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT) + data + b"\0" * (-len(data) % 512)


def special(kind: bytes, size: int) -> bytes:
    """A header of a tar whose own content has `size` bytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def long_name(path: Path) -> None:
    """A name of 2 GB of one letter, packed."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(member("first.py"))
        file.write(special(tarfile.GNUTYPE_LONGNAME, 2 << 30))
        for _ in range(300):
            file.write(b"a" * (1 << 20))


def claimed_name(path: Path) -> None:
    """A header that claims 400 MB and is followed by nothing."""
    path.write_bytes(gzip.compress(member("first.py") + special(tarfile.GNUTYPE_LONGLINK, 400_000_000)))


def long_record(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(member("first.py") + special(tarfile.XHDTYPE, 1 << 30))
        for _ in range(300):
            file.write(b"9" * (1 << 20))


def sparse_map(path: Path) -> None:
    """A sparse map whose entries have no end."""
    record = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    head = special(tarfile.XHDTYPE, len(record)) + record + b"\0" * (-len(record) % 512)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(member("first.py") + head + member("a.py", b"99999999\n1\n1".ljust(512, b"1"), size=1 << 30))
        for _ in range(200):
            file.write(b"1\n" * (1 << 19))


def many_settings(path: Path) -> None:
    """Settings for all members behind them, and members that copy all of them."""

    def setting(number: int) -> bytes:
        body = b" a%07d=1\n" % number
        record = b"%d%s" % (len(body) + 2, body)
        return special(tarfile.XGLTYPE, len(record)) + record + b"\0" * (-len(record) % 512)

    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(member("first.py") + b"".join(setting(number) + member(f"{number}.py") for number in range(2000)))


def settings_in_a_row(path: Path) -> None:
    """Headers without a member between them, which Python's reader takes one inside the other."""
    record = b"14 a0000001=1\n"
    header = special(tarfile.XGLTYPE, len(record)) + record + b"\0" * (-len(record) % 512)
    path.write_bytes(gzip.compress(member("first.py") + header * 20_000))


def unpacks_without_end(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(member("first.py"))
        for number in range(50):
            file.write(member(f"{number}.bin", b"\0" * 10_000_000))


def bz2_without_end(path: Path) -> None:
    block = b"\0" * 100_000_000
    path.write_bytes(
        bz2.compress(member("first.py")) + bz2.compress(member("a.bin", size=800_000_000)[:512]) + bz2.compress(block) * 8
    )


def xz_without_end(path: Path) -> None:
    block = lzma.compress(b"\0" * 100_000_000, preset=0)
    path.write_bytes(lzma.compress(member("first.py") + member("a.bin", size=800_000_000)[:512]) + block * 8)


TARS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a name of gigabytes": (long_name, "too_large"),
    "a header that claims 400 MB": (claimed_name, "too_large"),
    "a record of a gigabyte": (long_record, "too_large"),
    "a sparse map without end": (sparse_map, "too_large"),
    "settings for all members": (many_settings, "too_large"),
    "settings in a row": (settings_in_a_row, "unreadable"),
    "zeros": (unpacks_without_end, "too_large"),
    "zeros in bz2": (bz2_without_end, "too_large"),
    "zeros in xz": (xz_without_end, "too_large"),
}


@pytest.mark.parametrize("name", TARS)
def test_a_hostile_tar_gives_what_comes_before_and_says_why_it_ends(tmp_path: Path, name: str) -> None:
    make, fault = TARS[name]
    path = tmp_path / "all.tar.gz"
    make(path)
    assert path.stat().st_size < 8_000_000
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    last, count, peak_mb = json.loads(done.stdout)
    assert last[-1] == ["all.tar.gz", fault]
    assert count > 1
    assert peak_mb < MOST_MB


def test_a_tar_whose_header_has_a_size_below_zero_ends(tmp_path: Path) -> None:
    header = bytearray(member("b.py"))
    header[124:136] = b"\xff" * 12  # -1 in base 256
    checksum = sum(header[:148]) + 8 * 32 + sum(header[156:512])
    header[148:156] = b"%06o\0 " % checksum
    path = tmp_path / "all.tar"
    path.write_bytes(member("a.py") + bytes(header) + b"\0" * 1024)
    found = read(path)
    assert found[0] == ("a.py", 6)
    assert len(found) < 5


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_work_grows_no_faster_than_the_members(tmp_path: Path, ending: str, count_calls: Callable[..., int]) -> None:
    """Members whose sizes are whole blocks: a reader steps back by a byte before each, which must not unpack all again."""
    counts = []
    for members in (40, 80, 160):
        path = tmp_path / f"{members}.{ending}"
        with tarfile.open(path, f"w:{ending[4:]}") as archive:
            for number in range(members):
                info = tarfile.TarInfo(f"{number}.py")
                info.size = 5120
                archive.addfile(info, io.BytesIO(b"x = 1\n" * 853 + b"\n\n"))
        assert len(read(path)) == members
        counts.append(count_calls(read, path))
    assert counts[1] < 2.2 * counts[0] + 500
    assert counts[2] < 2.2 * counts[1] + 500


def test_no_member_of_a_tar_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "all.tar"
    path.write_bytes(b"".join(member(f"{number}.py") for number in range(50)) + b"\0" * 1024)
    with path.open("rb") as opened:
        for archive, _ in archives.members_of(ForwardFile(opened, Allowance(1 << 20))):
            assert len(archive.members) <= 1
    monkeypatch.setattr(archives, "MOST_MEMBERS", 20)
    found = read(path)
    assert found[-2:] == [("19.py", 6), ("all.tar", "too_large")]


# zip


def test_a_zip_whose_list_of_members_is_too_long_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.py", GOOD)
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry, end = data[start : data.index(b"PK\5\6")], bytearray(data[data.index(b"PK\5\6") :])
    times = archives.MOST_LISTING_BYTES // len(entry) + 1
    end[12:16] = (times * len(entry)).to_bytes(4, "little")
    path.write_bytes(data[:start] + entry * times + bytes(end))
    assert read(path) == [("all.zip", "too_large")]


def test_members_that_share_their_bytes_unpack_to_no_more_than_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 5_000_000)
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", b"\n" * 900_000)
    data = path.read_bytes()
    start, last = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    end = bytearray(data[last:])
    end[8:10] = end[10:12] = (1000).to_bytes(2, "little")
    end[12:16] = (1000 * (last - start)).to_bytes(4, "little")
    path.write_bytes(data[:start] + data[start:last] * 1000 + bytes(end))
    found = read(path)
    assert found[-1] == ("all.zip", "too_large")
    assert 5 < len(found) < 30


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_packed_in_another_way_is_unreadable(tmp_path: Path, packing: int) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.py", GOOD)
        archive.writestr("b.py", b"x" * 1000, compress_type=packing)
    assert read(tmp_path / "all.zip") == [("a.py", 6), ("b.py", "unreadable")]


def test_a_member_larger_than_it_says_is_cut_where_a_file_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", b"\n" * 100_000_000)
    size = (100_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (900_000).to_bytes(4, "little")))
    ((_, found),) = read(path)
    assert found == "unreadable" or found <= 900_000


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_no_disk_holds_are_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"all.{kind}"
    name = "d/" * 20_000 + "a.py"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, GOOD)
            archive.writestr("b.py", GOOD)
    else:
        path.write_bytes(member(name) + member("b.py") + b"\0" * 1024)
    assert read(path) == [(name[: archives.LONGEST_NAME], "unreadable"), ("b.py", 6)]


def test_a_zip_obeys_the_globs_of_its_source(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("src/a.py", "src/b.js", "tests/test_a.py"):
            archive.writestr(name, GOOD)
    source = Source(path=str(tmp_path / "all.zip"), include=("*.py",), exclude=("tests/*",))
    assert [file.path for file in read_source(source, seed=0)] == ["src/a.py"]


def test_a_file_read_forward_gives_what_was_read_and_steps_back_a_little() -> None:
    data = bytes(range(256)) * 20
    stream = ForwardFile(io.BytesIO(data), Allowance(len(data)))
    stream.allow(len(data))
    assert stream.read(1000) == data[:1000]
    assert stream.seek(700) == 700
    assert stream.read(100) == data[700:800]
    assert stream.read(400) == data[800:1200]
    assert stream.seek(1190) == 1190
    assert stream.read(20) == data[1190:1210]
    assert stream.seek(3000) == 3000
    assert stream.read(5) == data[3000:3005]
    with pytest.raises(TooMuch):
        stream.seek(1000)
    with pytest.raises(TooMuch):
        ForwardFile(io.BytesIO(data), Allowance(100)).seek(200)
    with pytest.raises(TooMuch):
        ForwardFile(io.BytesIO(data), Allowance(100)).read(1)  # nothing was allowed
