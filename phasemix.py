"""The command `phasemix`, and `python -m phasemix` for child processes.

Always holds: the five packages that run are the ones that were installed together. A user's folder with the name of one of
them, when it comes first on the import path, is named in one line. Without this check it would be an ImportError from the
middle of an import, or another program.
"""

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("streamer", "mixer", "generators", "training", "deploy")


def shadowing() -> dict[str, Path]:
    """Folders or files that take the place of one of the packages, by package. Imports nothing."""
    home = Path(__file__).resolve().parent
    found = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        places = (
            [*spec.submodule_search_locations] if spec and spec.submodule_search_locations else [spec.origin] if spec else []
        )
        if places and places[0] and Path(places[0]).resolve() != home / package:
            found[package] = Path(places[0])
    return found


def main() -> int:
    """Runs one command of phasemix. Returns 2 for a user's mistake, which is said in one line."""
    for package, place in shadowing().items():
        print(
            f"phasemix: {place} hides phasemix's own package {package}, because it comes first on Python's import path; "
            "rename it, start phasemix from another folder, or take that folder out of PYTHONPATH",
            file=sys.stderr,
        )
        return 2
    from deploy.command_line import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
