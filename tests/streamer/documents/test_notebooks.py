"""A notebook becomes its cells: no output, no picture and no JSON is in the text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.documents.notebooks import Notebooks, as_script, read_notebook
from streamer.documents.text import DropReason

PICTURE = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 500}}


def notebook(*cells: tuple[str, Any], **metadata: Any) -> str:
    made = [{"cell_type": kind, "source": source, "metadata": {}, "outputs": [PICTURE]} for kind, source in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": made})


def test_a_script_has_code_as_it_is_and_markdown_in_comments() -> None:
    text = notebook(("markdown", ["# Title\n", "\n", "Some words"]), ("code", ["import os\n", "x = 1"]), ("raw", "as it is"))
    assert read_notebook(text) == "# # Title\n#\n# Some words\n\nimport os\nx = 1\n\n# as it is\n"


def test_a_text_has_markdown_as_it_is_and_code_between_fences() -> None:
    text = notebook(("markdown", "# Title"), ("code", "x <- 1"), kernelspec={"language": "R"})
    assert read_notebook(text, Notebooks.TEXT) == "# Title\n\n```r\nx <- 1\n```\n"


@pytest.mark.parametrize(
    ("metadata", "mark"),
    [
        ({"kernelspec": {"language": "scala"}}, "//"),
        ({"language_info": {"name": "C++"}}, "//"),
        ({"kernelspec": {"language": "sql"}}, "--"),
        ({"kernelspec": {"language": "julia"}}, "#"),
        ({"kernelspec": {"name": "python3"}}, "#"),
        ({"kernelspec": 3, "language_info": []}, "#"),
    ],
)
def test_comments_are_those_of_the_kernels_language(metadata: dict[str, Any], mark: str) -> None:
    assert read_notebook(notebook(("markdown", "words"), **metadata)) == f"{mark} words\n"


def test_what_only_a_notebook_runs_is_in_comments() -> None:
    text = notebook(("code", "%time x = 1\n!ls\nx % 2\nif x:\n    !date"), ("code", "%%bash\nls"), ("code", "x = 2"))
    assert read_notebook(text) == "# %time x = 1\n# !ls\nx % 2\nif x:\n#     !date\n\n# %%bash\n# ls\n\nx = 2\n"


def test_notebooks_of_the_third_format_are_read() -> None:
    book = {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1"], "outputs": [PICTURE]}]}]}
    assert read_notebook(json.dumps(book)) == "x = 1\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (notebook(("code", "x = 1"))[:100], DropReason.BROKEN_NOTEBOOK),
        ("[" * 100_000, DropReason.BROKEN_NOTEBOOK),
        ('{"cells": []}', DropReason.BROKEN_NOTEBOOK),
        ('{"nbformat": 4, "cells": {}}', DropReason.BROKEN_NOTEBOOK),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', DropReason.BROKEN_NOTEBOOK),
        ('{"nbformat": 4, "cells": ["x"]}', DropReason.BROKEN_NOTEBOOK),
        (notebook(), DropReason.EMPTY_NOTEBOOK),
        (notebook(("code", " \n"), ("markdown", [])), DropReason.EMPTY_NOTEBOOK),
        (notebook(("code", "x = '\ud800'")), DropReason.LONE_SURROGATES),
        (notebook(("code", "x = '\0'")), DropReason.NUL_BYTES),
    ],
)
@pytest.mark.parametrize("form", Notebooks)
def test_a_notebook_without_a_text_has_a_reason(text: str, reason: DropReason, form: Notebooks) -> None:
    assert read_notebook(text, form) == reason


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["code", "markdown"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["cells", "source", "cell_type", "metadata"]), inner)
    ),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_whatever_json_stands_in_it_nothing_is_raised(cells: Any, metadata: Any) -> None:
    found = read_notebook(json.dumps({"nbformat": 4, "cells": [cells], "metadata": metadata, "worksheets": cells}))
    assert isinstance(found, str)


def test_a_script_stays_as_it_is() -> None:
    assert as_script("x = 1\n") == "x = 1\n"
    assert as_script(notebook(("code", "x = 1"))) == "x = 1\n"
    assert as_script('{"nbformat": 4, "cells') == ""
