"""A corpus is added to: what is new becomes new parts, what the root has already is dropped."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.command_line import main
from streamer import Catalog
from streamer.catalog import parts
from streamer.catalog.manifest import Snapshot
from streamer.catalog.redaction import Rule
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe, Source
from streamer.corpus.work_folder import PLACE
from streamer.documents.document import Document
from streamer.errors import CorpusError
from streamer.packing import tokenizer as tokenizers
from streamer.publishing.heldout import is_held_out
from streamer.publishing.redacting import redact


@pytest.fixture(scope="module")
def first(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("streaming", reason="the corpus extra is not installed")
    catalog = Catalog(tmp_path_factory.mktemp("first") / "root")
    build(catalog, recipe)
    return catalog


@pytest.fixture
def catalog(first: Catalog, tmp_path: Path) -> Catalog:
    """A root of one's own with the first corpus."""
    there = first.store.local_path("")
    assert there is not None
    shutil.copytree(there, tmp_path / "root")
    return Catalog(tmp_path / "root")


@pytest.fixture
def more(recipe: Recipe, sources: Path, tmp_path: Path) -> Recipe:
    """A recipe over what there was, a copy of each kind, and something new."""
    new = tmp_path / "more"
    shutil.copytree(sources / "json", new / "copied_json")
    held_out = next(
        name.name
        for name in sorted(sources.iterdir())
        if is_held_out(f"{sources.name}/{name.name}", share=0.15, key="phasemix")
    )
    shutil.copytree(sources / held_out, new / "copied_held_out", symlinks=True, ignore=shutil.ignore_patterns("pipe.py"))
    (new / "new").mkdir()
    for number in range(4):
        lines = [
            f"def fetch_{number}_{line}(client):\n    return client.get('/{number}/{line}') or {line * 37}\n"
            for line in range(30)
        ]
        (new / "new" / f"client_{number}.py").write_text("\n".join(lines))
    return msgspec.structs.replace(recipe, sources=(Source(path=str(new), license="MIT"),))


def documents(catalog: Catalog) -> dict[str, Document]:
    return {doc.document: doc for found in catalog.streams("documents/*") for doc in catalog.documents(found.name)}


def test_only_what_is_new_is_added_in_new_parts_with_the_same_tokenizer(
    catalog: Catalog, more: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    before = documents(catalog)
    snapshots = {found.name: catalog.stream(found.name) for found in catalog.streams()}
    report = build(catalog, more)
    added = {name: doc for name, doc in documents(catalog).items() if name not in before}
    assert sorted(doc.path for doc in added.values()) == [f"new/client_{number}.py" for number in range(4)]
    assert before.items() <= documents(catalog).items()
    assert report.dropped["exact_duplicate"] >= 10
    after = catalog.stream("raw/python")
    assert after.tokenizer == snapshots["raw/python"].tokenizer == report.tokenizer
    assert [part.part_id for part in after.parts[:-1]] == [part.part_id for part in snapshots["raw/python"].parts]
    assert set(parts.read_sidecar(catalog.store, after.parts[-1])["document"].to_pylist()) == added.keys()
    assert main(["corpus", "stats", "--root", catalog.store.url.removeprefix("file://")]) == 0
    assert "this is the last of 2 ingests into this root" in capsys.readouterr().out


def test_an_addition_takes_the_lengths_and_the_hold_out_of_the_root_unless_it_names_others(
    catalog: Catalog, more: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["corpus", "ingest", more.sources[0].path, "--set", "annotator_model=ngrams"]
    root = ["--root", catalog.store.url.removeprefix("file://")]
    assert main([*words, "--set", "heldout_share=0.02", *root]) == 2
    assert "Set heldout_share = 0.15 and heldout_key = 'phasemix'" in capsys.readouterr().err
    assert main([*words, *root]) == 0
    assert {found.seq_len for found in catalog.streams("raw/*")} == {128}
    assert any(doc.path == "new/client_0.py" for doc in documents(catalog).values())


def test_the_same_sources_again_add_nothing_and_say_why(catalog: Catalog, recipe: Recipe) -> None:
    before = {found.name: found.samples for found in catalog.streams()}
    with pytest.raises(CorpusError, match=r"nothing in these sources is new to root .*exact_duplicate .*; name other"):
        build(catalog, recipe)
    assert {found.name: found.samples for found in catalog.streams()} == before


def test_what_was_redacted_does_not_come_back(catalog: Catalog, more: Recipe) -> None:
    redact(catalog, Rule(repositories=("more/new",)), [], by=None, why="asked", at_s=0.0)
    with pytest.raises(CorpusError, match=r"redacted 4"):
        build(catalog, more)


def test_other_shapes_and_tokenizers_are_refused_before_anything_is_read(
    catalog: Catalog, more: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(
        CorpusError, match=r"already has .*samples of 128 tokens in uint16, and this recipe makes samples of 256"
    ):
        build(catalog, msgspec.structs.replace(more, seq_len=256))
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(tokenizers.train(["other = words\n" * 9], vocabulary=300).to_str())
    with pytest.raises(CorpusError, match=r"was made with .*; leave it out of the recipe, or build into another root"):
        build(catalog, msgspec.structs.replace(more, tokenizer=str(tokenizer)))


def test_an_interrupted_addition_finds_the_same_again_without_its_working_folder(
    catalog: Catalog, more: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(BaseException):
        pass

    publish, calls = Catalog.publish_directory, []

    def publish_two(self: Catalog, *args: Any, **more_args: Any) -> Snapshot:
        calls.append(args)
        if len(calls) == 3:
            raise Interrupted
        return publish(self, *args, **more_args)

    monkeypatch.setattr(Catalog, "publish_directory", publish_two)
    before = documents(catalog)
    with pytest.raises(Interrupted):
        build(catalog, more)
    partly = sum(len(catalog.stream(found.name).parts) for found in catalog.streams())
    there = catalog.store.local_path(PLACE)
    assert there is not None
    shutil.rmtree(there)
    report = build(catalog, more)
    assert sum(len(catalog.stream(found.name).parts) for found in catalog.streams()) > partly
    assert report.documents == len(documents(catalog)) - len(before) == 4
    for found in catalog.streams():
        ids = [part.part_id for part in catalog.stream(found.name).parts]
        assert len(ids) == len(set(ids))
