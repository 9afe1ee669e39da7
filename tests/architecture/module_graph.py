"""Which module imports which, read from the text: imports in function bodies and under TYPE_CHECKING count too.

`from a.b import c` is an edge to `a.b.c` where that is a module, else to `a.b`. The packages that Python runs on the way to
a module are no edges: they are empty, but for the roots, which only name what is public.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("streamer", "mixer", "generators", "training", "deploy")
Graph = dict[str, set[str]]


def python_graph(*, at_import: bool = False) -> Graph:
    """Every module of the five packages with the modules of theirs that it imports, or that importing it imports."""
    files = {name_of(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    return {name: set(imported(path, name, files.keys(), at_import)) - {name} for name, path in files.items()}


def name_of(path: Path) -> str:
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def imported(path: Path, name: str, known: Iterable[str], at_import: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in tree.body if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively; write the whole name"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield str(node.module)


def script_graph() -> Graph:
    """Every module of the dashboard's pages, by its path, with those that it imports."""
    folder, found = ROOT / "mixer/dashboard", Graph()
    for path in folder.rglob("*.js"):
        places = re.findall(r"""\b(?:from|import)\s*\(?\s*["'](\.[^"']+\.js)["']""", path.read_text())
        found[str(path.relative_to(folder))] = {str((path.parent / place).resolve().relative_to(folder)) for place in places}
    return found


def circle_in(graph: Graph) -> list[str]:
    """The modules of one circle, in the order of their imports; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def reached(graph: Graph, module: str) -> set[str]:
    """What a module needs, directly or not, itself included."""
    found, waiting = {module}, [module]
    while waiting:
        for other in graph[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found


def longest_chain(graph: Graph) -> list[str]:
    """The longest row of modules that each import the next one; the graph has no circle."""
    longest: dict[str, list[str]] = {}
    for module in TopologicalSorter(graph).static_order():
        longest[module] = [module, *max((longest[other] for other in graph[module]), key=len, default=[])]
    return max(longest.values(), key=len)


def by_folder(graph: Graph, package: str) -> Graph:
    """The folders of a package with those that their modules import from; what lies loose is left out."""
    found: Graph = {}
    for module, others in graph.items():
        folder = folder_of(module, package)
        if folder is not None:
            wanted = {other for one in others if (other := folder_of(one, package)) not in (None, folder)}
            found.setdefault(folder, set()).update(other for other in wanted if other)
    return found


def folder_of(module: str, package: str) -> str | None:
    words = module.split(".")
    is_folder = words[0] == package and len(words) > 1 and (ROOT / package / words[1]).is_dir()
    return words[1] if is_folder else None
