"""What a file is besides source code, as words that its document keeps."""

from streamer.gates.generated import generated_mark
from streamer.gates.origin import vendored_mark
from streamer.gates.subject import Subject

TEST_FOLDERS = frozenset({"test", "tests", "spec", "specs", "__tests__", "testing", "testdata", "fixtures"})
TEST_ENDINGS = ("_test", "_spec", ".test", ".spec", "Test", "Tests", "Spec")
DOCUMENTATION_FOLDERS = frozenset({"doc", "docs", "documentation", "man", "examples", "example", "samples", "demo", "demos"})


def flags(subject: Subject) -> tuple[str, ...]:
    """Those of `generated`, `vendored`, `test` and `documentation` that a file is, in this order."""
    found = {
        "generated": bool(generated_mark(subject)),
        "vendored": bool(vendored_mark(subject)),
        "test": bool(TEST_FOLDERS.intersection(subject.folders)) or is_test(subject.name),
        "documentation": bool(DOCUMENTATION_FOLDERS.intersection(subject.folders)),
    }
    return tuple(word for word, is_so in found.items() if is_so)


def is_test(name: str) -> bool:
    stem, dot, _ = name.rpartition(".")
    return bool(dot) and (stem.startswith("test_") or stem.endswith(TEST_ENDINGS))
