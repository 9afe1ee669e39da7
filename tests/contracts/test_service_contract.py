"""The service against its OpenAPI document: whatever is asked, no 5xx, and what comes back is as the document says."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from deploy.local.service_process import application
from mixer import Mixtures, RunReader, Runs
from streamer import Catalog
from streamer.store.store import MemoryStore

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nname = "all"\nstreams = "raw/*"\nshare = 1\nmax_passes = 2\n'
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    negative_data_rejection,
]  # fmt: skip
EXAMPLES = 12  # of each operation


DOCUMENT = application(MemoryStore()).openapi()
OPERATIONS = [(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations]


@pytest.fixture
def app(root: Path, fill: Callable[..., Catalog]) -> Any:
    fill("raw/python", 30)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    RunReader(root, "a").read(0)
    return application(root)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_request_is_answered_but_as_the_document_says(
    app: Any, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][method]

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        if "name" in case.path_parameters and mode is schemathesis.GenerationMode.POSITIVE:
            case.path_parameters["name"] = "m" if "mixtures" in path else "a"
        answer = case.call()
        refused = answer.status_code in (413, 414)  # by a limit, before anything else
        case.validate_response(answer, checks=CHECKS[:-1] if refused else CHECKS)

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing can be asked wrongly of what takes nothing
        ask()
