"""`phasemix doctor`: looks at what phasemix needs on this machine and says what must be mended.

Always holds: nothing is changed, but for an object that is put under an existing root to see that it can be written, and
removed again. Exit code 1 means that something must be mended.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.guidance.finding import Finding, State
from deploy.guidance.versions import check_versions
from streamer.errors import PhasemixError
from streamer.extras import missing_extras
from streamer.wording import without_secrets

LITTLE_BYTES, LOW_BYTES = 1 << 30, 10 << 30  # free on a disk: too little to publish a part, and little


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix doctor`."""
    from streamer.commands.options import add_json, root_address

    parser.add_argument(
        "--root",
        type=root_address,
        default=os.environ.get("PHASEMIX_ROOT") or None,
        metavar="ROOT",
        help="look at this root too: a directory or an s3, gs or azure address (default: PHASEMIX_ROOT)",
    )
    parser.add_argument("--redis", metavar="URL", help="look at this Redis (default: the one that `up` would start)")
    parser.add_argument("--engine", metavar="URL", help="look at this OpenAI-compatible engine too")
    add_json(parser)
    parser.set_defaults(run=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Prints what was found; 1 when something must be mended."""
    import msgspec

    from streamer.commands.table import has_colour, one_line, painted, print_json

    found = list(examine(options.root, options.redis or os.environ.get("PHASEMIX_REDIS"), options.engine))
    if options.json:
        print_json(msgspec.to_builtins(found))
    else:
        width = max(len(finding.check) for finding in found)
        tone = painted if has_colour(sys.stdout) else str
        for finding in found:
            print(f"{tone(f'{finding.state:<5}')} {finding.check:<{width}} {one_line(finding.said)}")
    return int(any(finding.state == "mend" for finding in found))


def examine(root: str | None, redis: str | None, engine: str | None) -> Iterator[Finding]:
    """Every finding, in the order in which a person would mend them."""
    yield from check_versions()
    yield check_packages()
    yield from check_root(root)
    yield from check_disks(root)
    yield check_sandbox()
    if redis is None and missing_extras("generators"):
        yield Finding(check="redis", state="note", said="not needed: the extra [generators] is not installed")
    else:
        yield checked("redis", lambda: look_at_redis(redis))
    if engine is not None:
        yield checked("engine", lambda: look_at_engine(engine))
    if root is not None:
        yield from check_services(root)


def checked(check: str, look: Callable[[], str]) -> Finding:
    """What a look says, or the error that it raises, as a finding."""
    try:
        return Finding(check=check, state="ok", said=look())
    except PhasemixError as error:
        return Finding(check=check, state="mend", said=str(error))
    except ModuleNotFoundError as error:
        return Finding(check=check, state="note", said=f"cannot be looked at: {error.name} is not installed")


def check_packages() -> Finding:
    """Whether a folder of the user's takes the place of one of the five packages."""
    from phasemix import shadowing

    strange = shadowing()
    if not strange:
        return Finding(check="folders", state="ok", said=f"all five packages lie in {Path(__file__).parents[2]}")
    said = ", ".join(f"{place} hides {package}" for package, place in strange.items())
    return Finding(check="folders", state="mend", said=f"{said}; rename it, or take its folder out of PYTHONPATH")


def check_root(root: str | None) -> Iterator[Finding]:
    """Whether the root can be reached, is the root that it says it is, and can be written."""
    from deploy.guidance.overview import describe, read_holding
    from streamer.store.directory_store import folder_for
    from streamer.store.roots import open_store

    if root is None:
        said = "none is named; set PHASEMIX_ROOT to a folder or an s3, gs or azure address, or give --root"
        yield Finding(check="root", state="note", said=said)
        return
    try:
        store = open_store(root)
        holding = read_holding(root)
        store.opened.check()
        if store.opened.id is None:
            yield Finding(check="root", state="ok", said=f"{root} {describe(holding)}; its first write makes it a root")
            if "://" not in root:
                yield checked("root", lambda: f"it can be made in {folder_for(Path(root).expanduser().absolute())}")
            return
        yield Finding(check="root", state="ok", said=f"{root} (identity {store.opened.id[:8]}) {describe(holding)}")
        store.opened.probe()
        yield Finding(check="root", state="ok", said="it can be written, and keeps what it has")
    except PhasemixError as error:
        yield Finding(check="root", state="mend", said=str(error))


def check_disks(root: str | None) -> Iterator[Finding]:
    """Free space where the root, the cache of shards and temporary files lie; one finding a disk."""
    named = {"temporary files": tempfile.gettempdir(), "cache": os.environ.get("PHASEMIX_CACHE") or tempfile.gettempdir()}
    places = {"root": root, **named} if root is not None and "://" not in root else dict[str, str | None](named)
    disks: dict[int, tuple[list[str], int]] = {}
    for name, text in places.items():
        path = Path(str(text)).expanduser().absolute()
        folder = next(place for place in (path, *path.parents) if place.exists())
        names, _ = disks.setdefault(folder.stat().st_dev, ([], shutil.disk_usage(folder).free))
        names.append(f"{name} in {folder}")
    for names, free in disks.values():
        state: State = "mend" if free < LITTLE_BYTES else "note" if free < LOW_BYTES else "ok"
        remedy = "" if state == "ok" else "; that is little for a corpus, free some or name another place"
        said = f"{free / 2**30:,.1f} GiB are free for {' and '.join(names)}{remedy}"
        yield Finding(check="disk", state=state, said=said)


def check_sandbox() -> Finding:
    """Whether programs that nobody trusts can be run here, which few need."""
    from streamer.errors import SandboxError
    from streamer.sandbox.sandbox import find_way

    try:
        return Finding(check="sandbox", state="ok", said=f"programs that nobody trusts can be run by {find_way()}")
    except SandboxError as error:
        return Finding(check="sandbox", state="note", said=f"{error}; only recipes with execute_s need one")


def look_at_redis(url: str | None) -> str:
    """Raises: SupervisorError, RedisMissingError."""
    from deploy.local.local_machine import check_redis
    from deploy.local.redis_server import find_redis

    check_redis(url)
    return f"{find_redis()} can be started by `phasemix up`" if url is None else f"{without_secrets(url)} answers"


def look_at_engine(url: str) -> str:
    """Raises: SupervisorError."""
    from deploy.local.local_machine import check_engine

    check_engine(url)
    return f"{without_secrets(url)} answers"


def check_services(root: str) -> Iterator[Finding]:
    """What `phasemix up` runs for the root, where it does."""
    from deploy.local.local_machine import rows

    found = rows(root)
    failing = [f"{row['name']} is {row['state']} (log: {row['log']})" for row in found if row["state"] != "running"]
    if failing:
        said = f"{', '.join(failing)}; read the log, then run phasemix down and phasemix up"
        yield Finding(check="services", state="mend", said=said)
    else:
        said = f"{len(found)} services run" if found else "nothing is up for this root; `phasemix up` starts it"
        yield Finding(check="services", state="ok" if found else "note", said=said)
