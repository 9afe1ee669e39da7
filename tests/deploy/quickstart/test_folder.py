"""What a quickstart finds in a folder, and what it chooses for it."""

import errno
import os
from collections import Counter
from pathlib import Path

import pytest

from deploy.quickstart import folder as folders
from deploy.quickstart.choices import (
    LEAST_HELD_OUT,
    MOST_HELD_OUT,
    SEED,
    choose,
    choose_held_out,
    describe,
    first_edit,
    mixture_text,
)
from deploy.quickstart.errors import QuickstartError
from deploy.quickstart.folder import Folder, look
from mixer import Mixtures
from streamer.corpus.recipe import Source
from streamer.corpus.sources.ingest import read_source
from streamer.documents.languages import detect
from streamer.publishing.heldout import is_held_out


def write(root: Path, **sizes: int) -> Path:
    for name, size in sizes.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return root


def test_files_are_counted_by_language_and_by_entry_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, a__one_py=300, a__two_go=500, b__deep__three_py=400, four_h=7, image_png=9, empty_py=0, big_py=1 << 21)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hook.py").write_text("not ours")
    (tmp_path / "link.py").symlink_to(tmp_path / "four.h")
    found = look(tmp_path)
    assert found.languages == {"python": (2, 700), "go": (1, 500), "c": (1, 7)}
    assert list(found.languages) == ["python", "go", "c"]
    name = tmp_path.name
    assert found.repositories == {f"{name}/a": 800, f"{name}/b": 400, f"{name}/four.h": 7}
    assert (found.files, found.bytes, found.others, found.unreadable, found.is_whole) == (4, 1207, 4, 0, True)


def test_files_are_counted_under_the_language_that_the_corpus_gives_them(tmp_path: Path) -> None:
    """Given scripts without an ending and headers of three languages, then their text decides, as in an ingest."""
    texts = {
        "tools/build": "#!/bin/sh\necho built\n",
        "tools/serve": "#!/usr/bin/env -S node --quiet\nlisten(1)\n",
        "tools/NOTES": "read me\n",
        "tools/.hidden": "#!/usr/bin/python3\nprint(1)\n",
        "tools/Rakefile": "task :all\n",
        "src/plain.h": "int add(int a, int b);\n",
        "src/vector.h": "#pragma once\nnamespace mine {\n}\n",
        "src/view.h": "@interface View\n@end\n",
        "src/bytes": "\x7fELF",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "fifo")
    seen = look(tmp_path)
    read = [file for file in read_source(Source(path=str(tmp_path)), seed=SEED) if file.data]
    told = Counter(detect(file.path, file.data.decode("latin-1")) for file in read)
    assert told.pop(None) == 3  # the notes, the header of Objective-C and the program
    assert {name: files for name, (files, _) in seen.languages.items()} == told
    assert seen.others == 4  # the pipe too


def test_a_huge_folder_is_not_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_FILES", 20)
    for number in range(10):
        write(tmp_path / str(number), **{f"f{place}_py": 5000 for place in range(10)})
    found = look(tmp_path)
    assert not found.is_whole
    assert found.files < 40
    choices = choose(found, max_mb=32)
    assert choices.max_mb == 32
    assert describe(found, choices)[0].startswith("at least ")
    assert (choices.seq_len, choose(found, max_mb=32, seq_len=64).seq_len) == (256, 64)


def test_folders_that_may_not_be_entered_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel refuses them to everybody but the superuser."""
    write(tmp_path, a__one_py=300, b__two_py=300)
    closed, scandir = {str(tmp_path / "b")}, os.scandir

    def refuse(path: str) -> object:
        if path in closed:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert look(tmp_path).unreadable == 1
    closed.add(str(tmp_path / "a"))
    with pytest.raises(QuickstartError, match="may not be read"):
        look(tmp_path)


def test_what_holds_no_source_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "pictures", a_png=100, b_bin=100)
    write(tmp_path / "archives", a_zip=100)
    for path, says in (
        (tmp_path / "nothing", "does not exist; name a folder"),
        (tmp_path / "pictures" / "a.png", "is a file"),
        (tmp_path / "pictures", r"no source file of a language that is known \(2 other files\)"),
        (tmp_path / "archives", "1 archives or Parquet files.*phasemix corpus ingest"),
    ):
        with pytest.raises(QuickstartError, match=says) as error:
            look(path)
        assert "\n" not in str(error.value)
    little = look(write(tmp_path / "little", a_py=90_000))
    with pytest.raises(QuickstartError, match="holds 90 kB of source; a quickstart needs at least 100 kB"):
        choose(little, max_mb=32)


def found(size: int) -> Folder:
    return Folder(
        path=Path("/code"),
        languages={"python": (10, size)},
        repositories={},
        places={},
        others=0,
        unreadable=0,
        is_whole=True,
    )


def test_what_is_held_out_is_enough_and_not_too_much() -> None:
    for number in range(2, 60):
        repositories = {f"code/{number}-{place}": 1000 + 37 * place for place in range(number)}
        share, names = choose_held_out(repositories, {"python": set(repositories)})
        assert names == sorted(name for name in repositories if share and is_held_out(name, share=share))
        if names:
            held = sum(repositories[name] for name in names) / sum(repositories.values())
            assert held >= LEAST_HELD_OUT
            assert held <= MOST_HELD_OUT + 0.01
    assert choose_held_out({"code/all": 10**6}, {}) == (0.0, [])


def test_no_language_is_held_out_as_a_whole(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / f"entry{number}", a_py=20_000)
    held_out = choose(look(tmp_path), max_mb=32).held_out
    assert held_out
    other = tmp_path / held_out[0].rpartition("/")[2]  # which would be the first to be held out
    (other / "a.go").write_text("package a\n" * 100)
    folder = look(tmp_path)
    chosen = choose(folder, max_mb=32)
    assert folder.places["go"] == {held_out[0]}
    assert held_out[0] not in chosen.held_out
    assert all(not place <= set(chosen.held_out) for place in folder.places.values())


def test_of_a_folder_that_is_read_in_part_only_what_is_read_is_held_out(tmp_path: Path) -> None:
    """Given entries of 40 kB and 300 kB of reading, then the held-out ones are among those that a source gives."""
    for number in range(40):
        write(tmp_path / f"entry{number}", a_py=20_000, b_py=20_000)
    choices = choose(look(tmp_path), max_mb=0.3)
    source = Source(path=str(tmp_path), max_mb=choices.max_mb)
    read = {file.repository for file in read_source(source, seed=SEED) if file.data}
    assert choices.held_out
    assert read.issuperset(choices.held_out)


def test_the_mixture_says_what_it_is_and_parses(tmp_path: Path) -> None:
    folder = found(5_200_000)
    parsed = Mixtures(tmp_path).parse(mixture_text("mine", folder, choose(folder, max_mb=32)), "mine.toml")
    assert (parsed.mixture.name, parsed.mixture.seq_len, parsed.mixture.component[0].max_passes) == ("mine", 256, 4)


def test_the_mixture_of_one_language_proposes_no_pin(tmp_path: Path) -> None:
    folder = look(write(tmp_path / "one", a__a_py=80_000, b__b_py=80_000))
    text = mixture_text("mine", folder, choose(folder, max_mb=32))
    assert "pin" not in text
    assert "max_passes = " in text


def test_the_first_change_is_one_that_the_streams_can_give(tmp_path: Path) -> None:
    """Given 99 % of one language, then pinning it to a half would repeat the little that is left dozens of times."""
    write(tmp_path / "one", a_py=300_000, b_go=2_000)
    write(tmp_path / "two", a_go=300_000, b_py=200_000)
    assert first_edit(look(tmp_path / "one")) == "raw.max_passes=2"
    assert first_edit(look(tmp_path / "two")) == "raw.pin.go=0.5"
