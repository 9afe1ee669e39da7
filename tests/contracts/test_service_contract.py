"""The service against its OpenAPI document: whatever is asked, no 5xx, and what comes back is as the document says."""

from collections.abc import Callable
from pathlib import Path

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

from mixer import Mixtures, RunReader, Runs
from mixer.service import create_app
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nname = "all"\nstreams = "raw/*"\nshare = 1\nmax_passes = 2\n'
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    negative_data_rejection,
]  # fmt: skip
EXAMPLES = 12  # of each operation


@pytest.fixture
def contract(root: Path, fill: Callable[..., Catalog]) -> "schemathesis.BaseSchema":
    fill("raw/python", 30)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    RunReader(root, "a").read(0)
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(root))


schema = schemathesis.pytest.from_fixture("contract")


@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    database=None,
)
def test_no_request_is_answered_but_as_the_document_says(case: "schemathesis.Case") -> None:
    case.call_and_validate(checks=CHECKS)
