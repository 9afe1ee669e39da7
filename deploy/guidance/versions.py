"""Whether what is installed here is what phasemix was declared to work with, and which extras are there.

Always holds: the bounds are those of the installed distribution's own metadata, so that they stand in pyproject.toml alone.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from packaging import requirements
from packaging.specifiers import SpecifierSet

from deploy.guidance.finding import Finding, State

HIDDEN = {"all", "peers"}  # every other extra at once; what benchmarks compare with


class Requirement(NamedTuple):
    """`name` within `bounds` such as `>=2.1,<2.2`, for an extra or, with None, always."""

    name: str
    bounds: SpecifierSet
    extra: str | None


def check_versions() -> list[Finding]:
    """Findings of Python, of what every installation needs, and of each extra."""
    metadata = importlib.metadata.metadata("phasemix")
    needed = [parse_requirement(text) for text in importlib.metadata.requires("phasemix") or []]
    installed = {requirement.name: installed_version(requirement.name) for requirement in needed}
    python = f"Python {platform.python_version()}"
    if SpecifierSet(metadata["Requires-Python"]).contains(platform.python_version()):
        first = Finding(check="python", state="ok", said=f"{python}, phasemix {metadata['Version']}")
    else:
        first = Finding(
            check="python", state="mend", said=f"{python} does not fit {metadata['Requires-Python']}; use another"
        )
    return [first, *judge(needed, installed)]


def judge(needed: list[Requirement], installed: Mapping[str, str | None]) -> Iterator[Finding]:
    """Findings of the installed versions, None for what is absent. An extra of which nothing fails is one `ok`."""
    for extra in dict.fromkeys(requirement.extra for requirement in needed):
        if extra in HIDDEN:
            continue
        of_extra = [requirement for requirement in needed if requirement.extra == extra]
        absent = [one.name for one in of_extra if installed[one.name] is None]
        wrong = [one for one in of_extra if not fits(installed[one.name], one.bounds)]
        what = "packages" if extra is None else f"[{extra}]"
        package = "phasemix" if extra is None else f"phasemix[{extra}]"
        remedy = f"pip install '{package}'"
        for one in wrong:
            said = f"{one.name} {installed[one.name]} is installed, but {one.bounds} is needed; run {remedy} again"
            yield Finding(check=what, state="mend", said=said)
        if absent:
            state: State = "mend" if extra is None else "note"
            yield Finding(check=what, state=state, said=f"{', '.join(absent)} not installed; if you need it: {remedy}")
        if not wrong and not absent:
            many = "1 package is within its" if len(of_extra) == 1 else f"{len(of_extra)} packages are within their"
            yield Finding(check=what, state="ok", said=f"{many} bounds")


def parse_requirement(text: str) -> Requirement:
    """Of a line such as `datatrove[io]<0.10,>=0.9; extra == 'corpus'`."""
    found = requirements.Requirement(text)
    extra = re.search(r'extra == "([^"]+)"', str(found.marker or ""))
    return Requirement(found.name, found.specifier, extra[1] if extra else None)


def fits(version: str | None, bounds: SpecifierSet) -> bool:
    """Whether what is installed is within the bounds; what is absent is judged elsewhere."""
    return version is None or bounds.contains(version, prereleases=True)


def installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
