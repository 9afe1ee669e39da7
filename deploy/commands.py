"""The parsers of the nouns that stand for no room: `phasemix quickstart`, `demo`, `up`, `down`, `status`, `doctor`.

Always holds: a noun's room is loaded when its parser is asked for, and no other.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable


def adding(module: str, name: str) -> Callable[[argparse.ArgumentParser], None]:
    """A function of a module, which is loaded when the function is called."""

    def add(parser: argparse.ArgumentParser) -> None:
        getattr(importlib.import_module(module), name)(parser)

    return add


NOUNS = {
    "quickstart": adding("deploy.quickstart.quickstart", "add_quickstart"),
    "demo": adding("deploy.demo.demo", "add_demo"),
    "up": adding("deploy.local.commands", "add_up"),
    "down": adding("deploy.local.commands", "add_down"),
    "status": adding("deploy.local.commands", "add_status"),
    "doctor": adding("deploy.guidance.doctor", "add_doctor"),
}
