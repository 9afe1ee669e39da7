"""Which runs are archived: hidden from lists, and nothing else.

Always holds: archiving changes neither a run nor what it reads, frees nothing, and can be undone. A run that is open, or
opened again, is never hidden.
"""

from __future__ import annotations

from mixer.errors import RunError
from streamer.catalog.catalog import Catalog
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

FORMAT, LOG = "archive/1", "archive/runs"


def archived_runs(catalog: Catalog) -> set[str]:
    """The names of the runs that are archived now. Raises: RunError for another format."""
    return names_in(catalog.log(LOG).read())


def note(catalog: Catalog, said: Body) -> bool:
    """Notes what an entry says: its `event`, archived or restored, of the run `name`. False where it is so already."""
    body = {**said, "format": FORMAT}

    def decide(bodies: Bodies) -> Body | None:
        return None if (said["name"] in names_in(bodies)) == (said["event"] == "archived") else body

    return catalog.log(LOG).append(decide) is not None


def names_in(bodies: Bodies) -> set[str]:
    found: set[str] = set()
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(RunError, "the list of archived runs", body["format"], FORMAT)
            (found.add if body["event"] == "archived" else found.discard)(str(body["name"]))
    return found
