"""Locked versions are within the bounds of every extra: after `make install` doctor has nothing to mend."""

import re
import tomllib

from module_graph import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def test_the_lock_is_within_the_bounds_of_every_extra() -> None:
    locked = dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [Requirement(text) for extra in project["optional-dependencies"].values() for text in extra]
    named += map(Requirement, project["dependencies"])
    pins = {one: locked[canonicalize_name(one.name)] for one in named if canonicalize_name(one.name) in locked}
    assert len(pins) > 20
    assert {str(one): version for one, version in pins.items() if not one.specifier.contains(version)} == {}
