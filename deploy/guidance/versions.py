"""Whether what is installed here is what phasemix was declared to work with, and which extras are there.

Always holds: the bounds are those of the installed distribution's own metadata, so that they stand in pyproject.toml alone.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import NamedTuple

from deploy.guidance.finding import Finding, State

HIDDEN = {"all", "peers"}  # every other extra at once; what benchmarks compare with
COMPARE = {
    ">=": lambda have, bound: have >= bound,
    "<=": lambda have, bound: have <= bound,
    "==": lambda have, bound: have == bound,
    "!=": lambda have, bound: have != bound,
    ">": lambda have, bound: have > bound,
    "<": lambda have, bound: have < bound,
}


class Requirement(NamedTuple):
    """`name` within `bounds` such as `>=2.1,<2.2`, for an extra or, with None, always."""

    name: str
    bounds: str
    extra: str | None


def check_versions() -> list[Finding]:
    """Findings of Python, of what every installation needs, and of each extra."""
    metadata = importlib.metadata.metadata("phasemix")
    requirements = [parse_requirement(text) for text in importlib.metadata.requires("phasemix") or []]
    installed = {requirement.name: installed_version(requirement.name) for requirement in requirements}
    python = f"Python {platform.python_version()}"
    if fits(platform.python_version(), metadata["Requires-Python"]):
        first = Finding(check="python", state="ok", said=f"{python}, phasemix {metadata['Version']}")
    else:
        first = Finding(
            check="python", state="mend", said=f"{python} does not fit {metadata['Requires-Python']}; use another"
        )
    return [first, *judge(requirements, installed)]


def judge(requirements: list[Requirement], installed: Mapping[str, str | None]) -> Iterator[Finding]:
    """Findings of the installed versions, None for what is absent. An extra of which nothing fails is one `ok`."""
    for extra in dict.fromkeys(requirement.extra for requirement in requirements):
        if extra in HIDDEN:
            continue
        of_extra = [requirement for requirement in requirements if requirement.extra == extra]
        absent = [one.name for one in of_extra if installed[one.name] is None]
        wrong = [one for one in of_extra if not fits(installed[one.name] or "", one.bounds) and one.name not in absent]
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
            yield Finding(check=what, state="ok", said=f"{len(of_extra)} packages are within their bounds")


def parse_requirement(text: str) -> Requirement:
    """Of a line such as `datatrove[io]<0.10,>=0.9; extra == 'corpus'`."""
    package, _, marker = text.replace(" ", "").partition(";")
    name = "".join(takewhile(lambda sign: sign.isalnum() or sign in "._-", package))
    bounds = package.removeprefix(name).rpartition("]")[2].strip("()")
    extra = marker.partition("extra==")[2].strip("'\"")
    return Requirement(name, bounds, extra or None)


def fits(version: str, bounds: str) -> bool:
    """Whether a version such as `2.7.0+cpu` is within bounds such as `>=2.7,<2.7.1`."""
    have = numbers(version)
    for bound in filter(None, bounds.replace(" ", "").split(",")):
        sign = next((sign for sign in COMPARE if bound.startswith(sign)), None)
        if sign is not None and not COMPARE[sign](*padded(have, numbers(bound.removeprefix(sign)))):
            return False
    return True


def numbers(version: str) -> list[int]:
    """The release of a version: [2, 7, 0] of `2.7.0+cpu`."""
    release = "".join(takewhile(lambda sign: sign in "0123456789.", version))
    return [int(word) for word in release.split(".") if word]


def padded(one: list[int], other: list[int]) -> tuple[list[int], list[int]]:
    """Both with zeros to the same length, so that 2.7 equals 2.7.0."""
    length = max(len(one), len(other))
    return one + [0] * (length - len(one)), other + [0] * (length - len(other))


def installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
