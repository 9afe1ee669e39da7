"""The offline engine writes files that pass the gates from real seeds, by itself and each variation anew."""

import sysconfig
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from generators.engines.offline_engine import LABEL, create_app
from generators.gates.gates import judge
from generators.queue.job import Completion, Job
from generators.recipes.recipe import built_in, write_prompt
from streamer.likeness.near_duplicates import USUAL, RecentSignatures, band_keys, sign

STDLIB = Path(sysconfig.get_path("stdlib"))
GO = 'package main\n\nimport "fmt"\n\nfunc total(values []int) int {\n\tsum := 0\n\tfor _, value := range values {\n\t\tsum += value\n\t}\n\treturn sum\n}\n\nfunc main() {\n\tfmt.Println(total([]int{1, 2}))\n}\n'  # noqa: E501


def write(job: Job, recipe: str = "oss-instruct-file") -> Completion:
    template = next(one.prompt for one in built_in() if one.name == recipe)
    text = write_prompt(template, language=job.language, seed=job.text, variation=job.index + 1)
    message = {"role": "user", "content": text}
    answer = TestClient(create_app()).post("/v1/chat/completions", json={"model": LABEL, "messages": [message]}).json()
    choice = answer["choices"][0]
    return Completion(text=choice["message"]["content"], finish_reason=choice["finish_reason"], tokens=1)


@pytest.mark.parametrize("name", ["bisect", "heapq", "shlex", "textwrap", "queue", "statistics"])
def test_variations_of_a_python_seed_pass_the_gates(name: str) -> None:
    seed, known = (STDLIB / f"{name}.py").read_text(), RecentSignatures(USUAL)
    signatures = sign([seed], ["python"])
    known.add(signatures[0], band_keys(signatures, "python", USUAL)[0].tolist())
    for index in range(3):
        job = Job(
            language="python", seed_document=name, recipe="file/1", model=LABEL, index=index, text=seed, purpose="order/0"
        )
        verdict = judge(job, write(job))
        assert verdict.text is not None, verdict.reason
        signatures = sign([verdict.text], ["python"])
        keys = band_keys(signatures, "python", USUAL)[0].tolist()
        assert not known.near(signatures[0], keys).places
        known.add(signatures[0], keys)


def test_a_go_seed_gives_a_go_file_and_the_same_one_again() -> None:
    job = Job(language="go", seed_document="go", recipe="file/1", model=LABEL, index=0, text=GO, purpose="order/0")
    for recipe in built_in():
        assert judge(job, write(job, recipe.name)).accepted
    assert write(job) == write(job)


def test_it_says_that_it_is_no_model() -> None:
    assert TestClient(create_app()).get("/v1/models").json()["data"][0]["id"] == "rule-based, not a model"
