"""What is sent to an engine, and what its faults are called. The servers here are faulty on purpose; a real one is in
test_evaluate.py.
"""

import json
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from training.errors import EvaluationError
from training.evaluation.answering import INSIDE
from training.evaluation.endpoint import EndpointModel

Answers = Callable[[str, Any], tuple[int, Any]]


def models(path: str, request: Any, *, context: int | None = None) -> tuple[int, Any] | None:
    return (200, {"data": [{"id": "tiny", "max_model_len": context}]}) if path == "/v1/models" else None


def test_a_request_has_room_for_its_answer_and_is_sent_again_when_the_server_fails(
    served: Callable[[Answers], str], solver: Path
) -> None:
    asked: list[Any] = []

    def answers(path: str, request: Any) -> tuple[int, Any]:
        if (listed := models(path, request, context=40)) is not None:
            return listed
        asked.append(request)
        if len(asked) < 3:
            return 503, {"error": "busy"}
        return 200, {"choices": [{"text": "    return 1\n\ndef other():\n", "finish_reason": "length"}]}

    model = EndpointModel(served(answers), solver)
    written = model.write("def f():\n", INSIDE, 768)
    assert (written.text, written.end) == ("    return 1\n", "ended")
    assert len(asked) == 3
    assert asked[-1]["temperature"] == 0
    assert 0 < asked[-1]["max_tokens"] < 40
    assert model.write("def f():\n" * 40, INSIDE, 768).end == "prompt_too_long"
    assert len(asked) == 3  # it was not sent


@pytest.mark.parametrize(
    ("settings", "sent"),
    [({}, None), ({"repetition_penalty": 1.0}, None), ({"repetition_penalty": 1.3}, 1.0), ([], None)],
)
def test_a_penalty_of_the_models_own_settings_is_undone(
    served: Callable[[Answers], str], solver: Path, tmp_path: Path, settings: Any, sent: float | None
) -> None:
    asked: list[Any] = []

    def answers(path: str, request: Any) -> tuple[int, Any]:
        asked.append(request)
        return models(path, request) or (200, {"choices": [{"text": "1"}]})

    folder = shutil.copytree(solver, tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps(settings))
    EndpointModel(served(answers), folder).write("def f():\n", INSIDE, 8)
    assert asked[-1].get("repetition_penalty") == sent


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, {"error": "no such route"}), "answers 404: .*name an OpenAI-compatible engine that completes text"),
        ((500, {"error": "broken"}), "answers 500.*What is done is kept"),
        ((200, b"<html>"), "does not answer as an OpenAI-compatible engine"),
        ((200, {"choices": []}), "answers without choices"),
    ],
)
def test_a_server_that_does_not_complete_is_named(
    served: Callable[[Answers], str], solver: Path, answer: tuple[int, Any], said: str
) -> None:
    model = EndpointModel(served(lambda path, request: models(path, request) or answer), solver, patience_s=0.1)
    with pytest.raises(EvaluationError, match=said):
        model.write("def f():\n", INSIDE, 8)


def test_a_server_that_sends_on_to_another_gets_no_key_sent_there(
    served: Callable[[Answers], str], solver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", served(lambda path, request: pytest.fail("it was followed")))
            self.end_headers()

    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(EvaluationError, match="models answers 302"):
            EndpointModel(f"http://127.0.0.1:{server.server_address[1]}/v1", solver)
        server.shutdown()


def test_a_server_of_another_model_or_none_is_named(served: Callable[[Answers], str], solver: Path, tmp_path: Path) -> None:
    url = served(lambda path, request: models(path, request) or (200, {}))
    with pytest.raises(EvaluationError, match="serves tiny and not large; name another with --served-model"):
        EndpointModel(url, solver, model="large")
    with pytest.raises(EvaluationError, match="must have tokenizer.json and config.json"):
        EndpointModel(url, tmp_path)
    with pytest.raises(EvaluationError, match="does not answer: .*name its address up to /v1"):
        EndpointModel("http://127.0.0.1:1/v1", solver)
