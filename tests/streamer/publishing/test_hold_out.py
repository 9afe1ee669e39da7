"""What is held out belongs to the root: whatever is published under it later is held to the choice that was noted first."""

import json
from pathlib import Path

import pytest

from generators.errors import OrderError
from generators.planning.seed_documents import load_seed_documents
from streamer import Catalog
from streamer.errors import PartError, PhasemixError, StreamError
from streamer.publishing.heldout import HoldOut, check_choice, choice_of, is_held_out, note_choice
from streamer.publishing.publication import publish_path

NAMES = [f"o/r{number}" for number in range(2000)]
HELD, KEPT = (next(name for name in NAMES if is_held_out(name) is wanted) for wanted in (True, False))


def write(path: Path, *repositories: str) -> Path:
    rows = [
        {"text": f"def f{place}(a):\n    return a + {place}\n", "path": f"{place}.py", "repository": name}
        for place, name in enumerate(repositories)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_documents_of_a_held_out_repository_are_counted_and_left_out(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "root")
    published = publish_path(catalog, "documents/python", write(tmp_path / "a.jsonl", KEPT, HELD, KEPT))
    assert published.dropped == {"held_out": 1}
    assert [document.repository for document in catalog.documents("documents/python")] == [KEPT, KEPT]
    with pytest.raises(PartError, match=r"no document to publish \(1 held_out\)"):
        publish_path(catalog, "documents/go", write(tmp_path / "b.jsonl", HELD))
    publish_path(catalog, "heldout/python", write(tmp_path / "b.jsonl", HELD))
    assert len(load_seed_documents(catalog, "documents/*", "python")) == 2
    with pytest.raises(OrderError):
        load_seed_documents(catalog, "heldout/*", "python")


def test_a_root_has_one_choice(tmp_path: Path) -> None:
    catalog, other = Catalog(tmp_path / "root"), HoldOut(share=0.5, key="mine")
    assert choice_of(catalog) == HoldOut()
    check_choice(catalog, other)
    note_choice(catalog, other)
    note_choice(catalog, other)
    assert choice_of(Catalog(catalog.store)) == other
    for refuse in (check_choice, note_choice):
        with pytest.raises(StreamError, match=r"holds out a share of 0.5 .* by the key 'mine', .*Set heldout_share = 0.5"):
            refuse(catalog, HoldOut())
    published = publish_path(catalog, "documents/python", write(tmp_path / "a.jsonl", *NAMES[:100]))
    assert published.dropped == {"held_out": sum(other.has(name) for name in NAMES[:100])}


def test_what_a_file_is_called_holds_nothing_out(tmp_path: Path) -> None:
    """Given rows that state no repository, in a file whose name would be held out."""
    name = next(f"n{number}" for number in range(2000) if is_held_out(f"n{number}"))
    path = tmp_path / f"{name}.jsonl"
    path.write_text(json.dumps({"text": "x = 1\n"}) + "\n")
    catalog = Catalog(tmp_path / "root")
    assert publish_path(catalog, "documents/python", path).dropped == {}
    assert [document.repository for document in catalog.documents("documents/python")] == [name]
    assert len(load_seed_documents(catalog, "documents/*", "python")) == 1


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "root")
    catalog.log("heldout").append(lambda _: {"format": "heldout/2"})
    with pytest.raises(PhasemixError, match="heldout/2; this version reads heldout/1: update phasemix"):
        choice_of(catalog)
