"""The rooms of the house: no circle, no crowded folder, few floors, and little that a trainer has to load."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from module_graph import PACKAGES, ROOT, Graph, by_folder, circle_in, longest_chain, python_graph, reached, script_graph

FULL, LOOSE = 12, 4
GRAPH = python_graph()


def only_mixer(graph: Graph) -> Graph:
    """Mixer's modules, without the packages themselves, which only name what is public."""
    return {
        module: {other for other in others if other.startswith("mixer.")}
        for module, others in graph.items()
        if module.startswith("mixer.") and not (ROOT / module.replace(".", "/")).is_dir()
    }


MIXER = only_mixer(GRAPH)


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle_in(GRAPH) == []


def test_no_folders_of_a_package_import_each_other_in_a_circle() -> None:
    for package in PACKAGES:
        assert circle_in(by_folder(GRAPH, package)) == [], package


def test_no_pages_of_the_dashboard_import_each_other_in_a_circle() -> None:
    graph = script_graph()
    assert circle_in(graph) == []
    assert set().union(*graph.values()) <= graph.keys()
    assert graph["main.js"]


def test_every_file_of_tests_has_a_name_of_its_own() -> None:
    found = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name, count in found.items() if count > 1} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_is_crowded(package: str) -> None:
    for folder in {path.parent for path in (ROOT / package).rglob("*") if path.suffix in (".py", ".js")}:
        modules = {path.name for path in folder.iterdir() if path.suffix in (".py", ".js")} - {"__init__.py"}
        assert len(modules) <= FULL, folder
    loose = {path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py", "errors.py"}
    assert len(loose) <= LOOSE, loose


def test_mixer_has_few_floors() -> None:
    by_file, by_room = longest_chain(MIXER), longest_chain(by_folder(GRAPH, "mixer"))
    assert len(by_file) <= 13, by_file
    assert len(by_room) <= 10, by_room


@pytest.mark.parametrize(("module", "most"), [("mixer.journal.service_journal", 12), ("mixer.reading.run_reader", 25)])
def test_importing_a_reader_loads_little_of_mixer(module: str, most: int) -> None:
    found = reached(only_mixer(python_graph(at_import=True)), module)
    assert len(found) <= most, sorted(found)


def test_a_reader_never_comes_to_what_people_and_services_need() -> None:
    """A policy is asked by whoever writes the segment, so a reader can come to what resolves a schedule's mixtures."""
    found = reached(MIXER, "mixer.reading.run_reader")
    assert not {module.split(".")[1] for module in found} & {"pool", "preview", "runs", "client", "commands", "service"}
    assert not found & {"mixer.mixture.file", "mixer.mixture.grammar", "mixer.mixture.places", "mixer.ledger.history"}


def test_every_room_stands_on_its_floor() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import mixer.b", {"mixer.b"}),
        ("def f():\n    from mixer.b import x", {"mixer.b"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mixer import b", {"mixer.b"}),
        ("from mixer import c", {"mixer"}),
        ("import os", set()),
    ],
)
def test_an_import_is_seen_wherever_it_stands(text: str, found: set[str], tmp_path: Path) -> None:
    from module_graph import imported

    (tmp_path / "a.py").write_text(text)
    assert set(imported(tmp_path / "a.py", "mixer.a", {"mixer", "mixer.b"})) == found
