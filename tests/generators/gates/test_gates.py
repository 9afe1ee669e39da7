"""Each gate refuses what it is for, by its name, and lets a good file through."""

import base64
import json
import random
import re
import textwrap

import msgspec
import pytest

from generators.gates.gates import judge
from generators.queue.job import Completion, Job, Reason, Verdict
from generators.recipes.limits import Limits
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
    found = judge(JOB, Completion(text=f"Here it is:\n```python\n{GOOD}```\nEnjoy!", finish_reason="stop", tokens=1))
    assert (found.text, found.reason) == (GOOD, None)
    assert verdict(GOOD) is None


DATA = "\n".join(textwrap.wrap(base64.b64encode(random.Random(5).randbytes(3000)).decode(), 76))
RENAMED = re.sub(r"\b(?!def|return)[a-z]+", lambda word: f"{word[0]}_of_box", SEED)
FILLER = "def value_{0}(box):\n    return box.items[{0}] + {0}\n\n\n"
BAD = {
    "a cut": (GOOD, Reason.CUT_OFF),
    "an empty block": ("```\n\n```", Reason.EMPTY),
    "nothing": (" \n", Reason.EMPTY),
    "code that breaks off, without a block": ("def broken(:\n", Reason.NO_FILE),
    "code that breaks off": (f"```python\n{GOOD[:-3]}\n```", Reason.DOES_NOT_PARSE),
    "an apology": ("I cannot write this file for you, but here is how one would begin with it.", Reason.NO_FILE),
    "its seed": (SEED, Reason.COPY_OF_SEED),
    "its seed renamed": (RENAMED, Reason.COPY_OF_SEED),
    "two files": (f"```python\n{GOOD}```\nand\n```python\n{SEED}```", Reason.SEVERAL_FILES),
    "a block of another language": ("```bash\npip install words\n```", Reason.WRONG_LANGUAGE),
    "comments alone": (f"```python\n{'# What the file is to do, and how it goes about it.' * 3}\n```", Reason.TRIVIAL),
    "a word": ("```python\nwords\n```", Reason.TRIVIAL),
    "stubs": ("```python\n" + "".join(f"def part_{n}(box, key):\n    pass\n\n\n" for n in range(5)) + "```", Reason.STUBS),
    "equal lines": ("```python\nimport os\n" + "print(os.environ['HOME'])\n" * 1500 + "```", Reason.REPETITIVE),
    "a pattern again and again": ("```python\n" + "".join(map(FILLER.format, range(900))) + "```", Reason.REPETITIVE),
    "too much of it": (f"```python\n{GOOD}" + "# and so on\n" * 100_000 + "```", Reason.TOO_LARGE),
    "encoded data": (f"```python\n{GOOD}\nDATA = '''{DATA}'''\n```", Reason.ENCODED_DATA),
    "half a character": (f"```python\n{GOOD}# \ud83d\n```", Reason.LONE_SURROGATE),
    "thinking without an end": (f"<think>\nA file that counts: ```python\n{GOOD}```", Reason.UNFINISHED_REASONING),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_name(name: str) -> None:
    text, reason = BAD[name]
    assert verdict(text, finish_reason="length" if name == "a cut" else "stop") == reason


def test_a_refusal_says_what_was_measured() -> None:
    def values(text: str, **options: int) -> dict[str, float | str]:
        return judge(JOB, Completion(text=text, finish_reason="stop", tokens=9), **options).values

    copied = values(RENAMED)
    assert (copied["shared_structure"], copied["max_shared_structure"]) == (1.0, 0.65)
    assert values(GOOD, max_tokens=10) == {"bytes": len(GOOD), "max_bytes": 160}
    assert values("```bash\nls\n```") == {"info": "shell"}
    assert values("ab\udc00") == {"at_character": 2}
    cut = judge(JOB, Completion(text=GOOD, finish_reason="length", tokens=9), max_tokens=8)
    assert cut.values == {"tokens": 9, "max_tokens": 8}


def test_an_accepted_file_has_every_figure_beside_its_limit() -> None:
    found = judge(JOB, Completion(text=GOOD, finish_reason="stop", tokens=9), max_tokens=100).values
    limits = msgspec.structs.asdict(JOB.limits)
    for name in set(limits) - {"max_bytes_per_token", "annotator", "least_score"}:
        side, _, measure = name.partition("_")
        assert found[name] == limits[name]
        assert found[measure] >= limits[name] if side == "min" else found[measure] <= limits[name]
    assert (found["bytes"], found["max_bytes"]) == (len(GOOD), 1600)


def test_limits_are_those_that_are_given() -> None:
    answer = Completion(text=GOOD, finish_reason="stop", tokens=1)
    strict = {
        Reason.TRIVIAL: Limits(min_code_size=1000),
        Reason.REPETITIVE: Limits(min_distinct_share=1.0, min_compressed_share=0.9),
        Reason.TOO_LARGE: Limits(max_bytes_per_token=2),
    }
    for reason, limits in strict.items():
        job = msgspec.structs.replace(JOB, limits=limits)
        assert judge(job, answer, max_tokens=100).reason == reason
    lax = msgspec.structs.replace(JOB, limits=Limits(max_shared_words=1, max_shared_structure=1))
    assert judge(lax, Completion(text=RENAMED, finish_reason="stop", tokens=1)).accepted


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
        "cells": [{"cell_type": "markdown", "source": "Words"}, {"cell_type": "code", "source": GOOD}],
    }
    assert written(json.dumps(book)).text == f"# Words\n\n{GOOD}"
    assert written(f"```json\n{json.dumps(book)}\n```").text == f"# Words\n\n{GOOD}"
    assert written(f"```python\n# Words\n\n{GOOD}```").text == f"# Words\n\n{GOOD}"


@pytest.mark.parametrize("text", ['{"nbformat": 4, "cells": []}', '{"nbformat": 4, "cells": [{"cell', "def broken(:\n"])
def test_a_notebook_that_is_broken_or_empty_is_refused(text: str) -> None:
    assert written(text).reason in (Reason.NO_FILE, Reason.DOES_NOT_PARSE)
    assert written(f"```json\n{text}\n```").reason in (Reason.TRIVIAL, Reason.DOES_NOT_PARSE)


def test_a_copy_of_a_notebook_is_found_by_its_cells() -> None:
    cells = [{"cell_type": "code", "source": SEED}]
    seed = msgspec.structs.replace(NOTEBOOK, text=json.dumps({"nbformat": 4, "cells": cells}))
    assert judge(seed, Completion(text=SEED, finish_reason="stop", tokens=1)).reason == Reason.COPY_OF_SEED
