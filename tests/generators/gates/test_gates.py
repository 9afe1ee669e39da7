"""Each gate refuses what it is for, by its name, and lets a good file through."""

import json

import msgspec
import pytest

from generators.gates.gates import judge, strip_chatter
from generators.queue.job import Completion, Job, Reason, Verdict
from streamer.documents.languages import LANGUAGES
from streamer.gates.syntax import parses

SEED = """def area(width, height):
    return width * height


def volume(width, height, depth):
    return area(width, height) * depth
"""
GOOD = '''"""Counts words."""
from collections import Counter


def count_words(text: str) -> Counter[str]:
    """How often each word of a text occurs, letters in lower case."""
    words = (word.strip(".,;:!?") for word in text.lower().split())
    return Counter(word for word in words if word)
'''
JOB = Job(language="python", seed_document="a" * 32, recipe="file/1", model="m", index=0, text=SEED, purpose="order/0")


def verdict(text: str, *, finish_reason: str = "stop") -> Reason | None:
    return judge(JOB, Completion(text=text, finish_reason=finish_reason, tokens=1)).reason


def test_a_good_file_passes_and_its_fence_and_chatter_are_gone() -> None:
    assert verdict(f"Here it is:\n```python\n{GOOD}```\nEnjoy!") is None
    assert strip_chatter(f"Here it is:\n```python\n{GOOD}```\nEnjoy!") == GOOD


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        (GOOD, "length", Reason.CUT_OFF),
        ("```\n\n```", "stop", Reason.EMPTY),
        ("def broken(:\n", "stop", Reason.DOES_NOT_PARSE),
        (SEED, "stop", Reason.COPY_OF_SEED),
    ],
)
def test_a_bad_file_is_refused_by_name(text: str, finish_reason: str, reason: Reason) -> None:
    assert verdict(text, finish_reason=finish_reason) == reason


def test_an_identity_is_of_what_is_wanted_and_not_of_the_text() -> None:
    assert msgspec.structs.replace(JOB, text="other", purpose="demand/python").identity == JOB.identity
    assert msgspec.structs.replace(JOB, index=1).identity != JOB.identity


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"jupyter-notebook"}))
def test_every_language_has_a_parser(language: str) -> None:
    assert not parses("", language)


NOTEBOOK = msgspec.structs.replace(JOB, language="jupyter-notebook", text='{"nbformat": 4, "cells": []}')


def written(text: str) -> Verdict:
    return judge(NOTEBOOK, Completion(text=text, finish_reason="stop", tokens=1))


def test_a_notebook_that_was_written_is_kept_as_the_script_that_the_corpus_has() -> None:
    book = {
        "nbformat": 4,
        "cells": [{"cell_type": "markdown", "source": "Sum"}, {"cell_type": "code", "source": ["x = 1 + 1"]}],
    }
    assert written(json.dumps(book)).text == "# Sum\n\nx = 1 + 1\n"
    assert written("# Sum\n\nx = 1 + 1\n").text == "# Sum\n\nx = 1 + 1\n"


@pytest.mark.parametrize("text", ['{"nbformat": 4, "cells": []}', '{"nbformat": 4, "cells": [{"cell', "def broken(:\n"])
def test_a_notebook_that_is_broken_or_empty_is_refused(text: str) -> None:
    assert written(text).reason == Reason.DOES_NOT_PARSE


def test_a_copy_of_a_notebook_is_found_by_its_cells() -> None:
    cells = [{"cell_type": "code", "source": SEED}]
    seed = msgspec.structs.replace(NOTEBOOK, text=json.dumps({"nbformat": 4, "cells": cells}))
    assert judge(seed, Completion(text=SEED, finish_reason="stop", tokens=1)).reason == Reason.COPY_OF_SEED
