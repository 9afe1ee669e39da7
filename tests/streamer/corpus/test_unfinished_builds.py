"""A build that was broken off while it published is completed, or given up and built anew."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from deploy.command_line import main
from streamer import Catalog
from streamer.catalog.manifest import Snapshot
from streamer.catalog.redaction import Rule
from streamer.corpus.completion import PACKED
from streamer.corpus.parts.report import CorpusReport
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe
from streamer.corpus.work_folder import PLACE
from streamer.errors import CorpusError
from streamer.publishing.compacting import compact
from streamer.publishing.redacting import redact
from tests.streamer.corpus.test_build import token_rows

Whole = tuple[Catalog, CorpusReport]


class BrokenOff(BaseException):
    pass


PUBLISHED = 4  # parts, before it is broken off


@pytest.fixture
def mine(recipe: Recipe, sources: Path, tmp_path: Path) -> Recipe:
    """The recipe over a copy of the sources that may be changed; names and repositories are the same."""
    there = tmp_path / sources.name
    shutil.copytree(sources, there, symlinks=True, ignore=shutil.ignore_patterns("pipe.py"))
    os.mkfifo(there / "bad" / "pipe.py")
    return msgspec.structs.replace(recipe, sources=(msgspec.structs.replace(recipe.sources[0], path=str(there)),))


@pytest.fixture
def broken_off(mine: Recipe, tmp_path: Path) -> Catalog:
    publish, calls = Catalog.publish_directory, list[Any]()

    def publish_some(self: Catalog, *args: Any, **more: Any) -> Snapshot:
        calls.append(args)
        if len(calls) > PUBLISHED:
            raise BrokenOff
        return publish(self, *args, **more)

    catalog = Catalog(tmp_path / "root")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Catalog, "publish_directory", publish_some)
        with pytest.raises(BrokenOff):
            build(catalog, mine)
    return catalog


def forget_work(catalog: Catalog) -> None:
    there = catalog.store.local_path(PLACE)
    assert there is not None
    shutil.rmtree(there)


def same_streams(catalog: Catalog, whole: Whole) -> None:
    assert {found.name: found.samples for found in catalog.streams()} == whole[1].streams
    for name in whole[1].streams:
        if not name.startswith("documents/"):
            assert np.array_equal(token_rows(catalog, name), token_rows(whole[0], name))


def change_a_file(recipe: Recipe) -> None:
    (Path(recipe.sources[0].path) / "json" / "decoder.py").write_text("changed = True\n")


def lose_the_sources(recipe: Recipe) -> None:
    shutil.rmtree(recipe.sources[0].path)


@pytest.mark.parametrize("happens", [lambda recipe: None, change_a_file, lose_the_sources])
def test_it_is_completed_whatever_became_of_its_sources(
    broken_off: Catalog, mine: Recipe, whole: Whole, happens: Callable[[Recipe], None]
) -> None:
    happens(mine)
    report = build(broken_off, mine)
    assert msgspec.structs.replace(report, build="", seconds={}) == msgspec.structs.replace(whole[1], build="", seconds={})
    same_streams(broken_off, whole)
    assert not any((broken_off.store.local_path("corpus") or Path()).glob("work*"))


def test_under_another_recipe_it_is_completed_first(broken_off: Catalog, mine: Recipe, whole: Whole) -> None:
    with pytest.raises(CorpusError, match="nothing in these sources is new"):
        build(broken_off, msgspec.structs.replace(mine, seed=5))
    same_streams(broken_off, whole)


def test_without_its_working_folder_another_recipe_is_refused_with_the_way_out(broken_off: Catalog, mine: Recipe) -> None:
    forget_work(broken_off)
    with pytest.raises(CorpusError, match=r"has parts of build .* which is not done.*: phasemix corpus give-up"):
        build(broken_off, msgspec.structs.replace(mine, seed=5))


def test_one_of_another_version_is_refused_with_the_way_out(broken_off: Catalog, mine: Recipe) -> None:
    there = broken_off.store.local_path(f"{PLACE}/{PACKED}")
    assert there is not None
    there.write_text('{"recipe": "of another version"}')
    with pytest.raises(CorpusError, match=r"packed cannot be read .*: phasemix corpus give-up"):
        build(broken_off, mine)


def test_one_that_is_given_up_is_read_no_more_and_built_anew(
    broken_off: Catalog, mine: Recipe, whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_work(broken_off)
    given_up = {found.name: found.samples for found in broken_off.streams()}
    assert 0 < len(given_up) < len(whole[1].streams)
    root = broken_off.store.url
    other = broken_off.create_stream("synthetic/go", seq_len=64)
    assert main(["corpus", "give-up", "--root", root, "--why", "lost"]) == 0
    assert (
        broken_off.stream("synthetic/go").number == other.number
    )  # nothing is said in the log of a stream without its parts
    assert f"of its {len(given_up)} parts nothing is read any more" in capsys.readouterr().out
    assert main(["corpus", "give-up", "--root", root]) == 2
    assert "there is none to give up" in capsys.readouterr().err
    for name in given_up:
        if name.startswith("documents/"):
            assert not list(broken_off.documents(name))
        else:
            part, redacted = broken_off.stream(name).parts[0], broken_off.redacted(name)
            assert all(redacted.has(part.number, row) for row in range(part.samples))
    report = build(broken_off, mine)
    assert report.documents == whole[1].documents
    assert report.build != broken_off.stream(next(iter(given_up))).parts[0].extra["build"]
    for name, samples in whole[1].streams.items():
        assert broken_off.stream(name).samples == samples + given_up.get(name, 0)
    texts = [[document.text for document in root.documents("documents/python")] for root in (broken_off, whole[0])]
    assert texts[0] == texts[1]


def test_files_of_one_that_is_given_up_can_be_written_anew_without_text(broken_off: Catalog) -> None:
    forget_work(broken_off)
    assert main(["corpus", "give-up", "--root", broken_off.store.url]) == 0
    for found in broken_off.streams():
        assert compact(broken_off, found.name).parts == 1
        assert not broken_off.manifest(found.name).in_files(broken_off.stream(found.name).number)


def test_what_was_redacted_meanwhile_is_not_published_and_the_build_can_be_given_up(
    broken_off: Catalog, mine: Recipe, whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {found.name for found in broken_off.streams()}
    document = next(iter(whole[0].documents("documents/python")))
    redact(broken_off, Rule(documents=(document.document,)), [], by=None, why=None, at_s=0.0)
    assert set(whole[1].streams) - there
    with pytest.raises(CorpusError, match=r"is redacted under this root.*: phasemix corpus give-up"):
        build(broken_off, mine)
    assert main(["corpus", "give-up", "--root", broken_off.store.url]) == 0
    build(broken_off, mine)
    ids = {found.document for found in broken_off.documents("documents/python")}
    assert ids == {found.document for found in whole[0].documents("documents/python")} - {document.document}
