"""Students of annotators' versions, kept with them.

Always holds: a version has at most one student, and that one never changes, so that documents which come later are scored on
the same scale.
"""

import msgspec
import xxhash

from streamer.catalog.catalog import Catalog
from streamer.catalog.part_files import load_named
from streamer.errors import CorpusError
from streamer.scoring.student import Student, decode_student, encode_student
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

FORMAT = "student/1"


def log_of(label: str) -> str:
    return f"students/{label}"


def keep_student(catalog: Catalog, label: str, student: Student) -> Student:
    """Keeps the student of a version, unless it has one; returns the one that it has."""
    data = encode_student(student)
    digest = xxhash.xxh3_128_hexdigest(data)
    catalog.store.put_if_absent(f"{log_of(label)}/files/{digest}", data)
    body: Body = {"format": FORMAT, "file": digest, "agreement": msgspec.to_builtins(student.agreement)}

    def decide(bodies: Bodies) -> Body | None:
        return None if len(bodies) else body

    catalog.log(log_of(label)).append(decide)
    found = load_student(catalog, label)
    assert found is not None
    return found


def load_student(catalog: Catalog, label: str) -> Student | None:
    """The student of a version, None where it has none. Raises: CorpusError for a format that is not known, PartError."""
    bodies = catalog.log(log_of(label)).read()
    if not len(bodies):
        return None
    with bodies.understood(0):
        check_format(CorpusError, f"the student of {label}", bodies[0]["format"], FORMAT)
        digest = bodies[0]["file"]
    return decode_student(bytes(load_named(catalog.store, f"{log_of(label)}/files/{digest}", digest)))
