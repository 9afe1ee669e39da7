"""The execution gate: what is run, and what is refused for how it ended; with the real sandbox."""

from pathlib import Path

import pytest
from aiohttp import web

from deploy.command_line import main
from generators.errors import RecipeError
from generators.gates.execution import check_execution, execute
from generators.queue.job import Job, Reason, Verdict
from generators.recipes.recipe import Recipe, add_recipe, built_in, parse_recipe
from streamer import Catalog
from streamer.errors import SandboxError
from streamer.sandbox.sandbox import find_way
from tests.generators.test_worker import FILE, Run, Server, good

RUNS = """def add(a, b):
    return a + b


if __name__ == "__main__":
    assert add(1, 2) == 3
    print("ok")
"""
PROMPT = 'prompt = "{language} {seed} {variation}"\nname = "run"\nversion = 1\n'


@pytest.fixture(autouse=True)
def possible() -> None:
    try:
        find_way()
    except SandboxError as error:
        pytest.skip(str(error))


def job(*, language: str = "python", execute_s: float | None = 20.0, index: int = 0) -> Job:
    return Job(
        language=language, seed_document="s", recipe="run/1", model="m", index=index, text="", purpose="order/0",
        execute_s=execute_s,
    )  # fmt: skip


def verdict_of(text: str, *, execute_s: float = 20.0) -> Verdict:
    return execute(job(execute_s=execute_s), Verdict(text=text))


def test_a_file_that_ends_without_an_error_stays_accepted() -> None:
    assert verdict_of(RUNS) == Verdict(text=RUNS)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("raise ValueError('no such thing')", {"end": "exited", "exit_code": 1, "said": "ValueError: no such thing"}),
        ("import sys\nsys.exit(3)", {"end": "exited", "exit_code": 3, "said": ""}),
        ("import sys\nsys.exit('a\\tb\\x1b[2J' * 99)", {"end": "exited", "exit_code": 1}),
        (
            "import a_package_of_nobody",
            {"end": "exited", "exit_code": 1, "said": "ModuleNotFoundError: No module named 'a_package_of_nobody'"},
        ),
        ("print(input())", {"end": "exited", "exit_code": 1, "said": "EOFError: EOF when reading a line"}),
        ("import os\nos.kill(os.getpid(), 9)", {"end": "signalled", "signal": 9, "said": ""}),
        ("while True: print('more' * 1000)", {"end": "too_much_output", "said": ""}),
        ("open('/etc/passwd')", {"end": "exited", "exit_code": 1}),
        ("import socket; socket.create_connection(('192.0.2.1', 80), 2)", {"end": "exited", "exit_code": 1}),
    ],
)
def test_a_file_that_fails_is_refused_with_what_it_said_last(text: str, values: dict[str, float | str]) -> None:
    verdict = verdict_of(text)
    assert (verdict.text, verdict.reason) == (None, Reason.DOES_NOT_RUN)
    assert values.items() <= verdict.values.items()
    assert len(str(verdict.values["said"])) <= 200
    assert str(verdict.values["said"]).isprintable()


def test_a_file_that_does_not_end_in_time_is_refused() -> None:
    verdict = verdict_of("import time\ntime.sleep(1000)", execute_s=1.0)
    assert (verdict.reason, verdict.values["end"]) == (Reason.DOES_NOT_RUN, "out_of_time")


@pytest.mark.parametrize("one", [job(execute_s=None), job(language="ruby"), job(language="jupyter-notebook")])
def test_nothing_else_is_run(one: Job) -> None:
    assert execute(one, Verdict(text="raise SystemExit(1)")).accepted


def test_a_refused_file_is_not_run() -> None:
    refused = Verdict(reason=Reason.STUBS)
    assert execute(job(), refused) is refused


@pytest.mark.parametrize("value", ["0", "-1", "4000", '"5"', "true"])
def test_a_recipe_with_an_impossible_time_is_refused_by_its_key(value: str) -> None:
    with pytest.raises(RecipeError, match="execute_s"):
        parse_recipe(f"{PROMPT}execute_s = {value}", name="run")


def test_no_recipe_that_comes_along_has_files_run() -> None:
    assert {one.execute_s for one in built_in()} == {None}
    assert parse_recipe(f"{PROMPT}execute_s = 5", name="run").execute_s == 5


def test_a_worker_rejects_the_files_that_do_not_run() -> None:
    server = Server()

    def answer(asked: dict[str, object]) -> web.StreamResponse:
        ends = {0: "raise ValueError(0)", 1: "import time; time.sleep(1000)"}.get(int(str(asked["seed"])), "")
        content = FILE.format(index=asked["seed"])[:-3] + f"\n{ends}\n```"
        return good(asked, choices=[{"message": {"content": content}, "finish_reason": "stop"}])

    server.respond = answer
    run = Run(server, jobs=0)
    for index in range(8):
        run.queue.add(job(index=index, execute_s=5))
    run.until(lambda: run.queue.ends().delivered + run.queue.ends().refused == 8)
    assert run.queue.rejections() == {"does_not_run": 2}
    assert run.queue.ends() == (6, 2, 0, 0)
    assert sorted(str(file.values["end"]) for file in run.queue.rejected_files()) == ["exited", "out_of_time"]


def test_a_worker_does_not_start_where_a_recipe_has_files_run_and_nothing_can_run_them(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_recipe(Catalog(root), Recipe(name="run", version=1, prompt="{language} {seed} {variation}", execute_s=5.0))
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    find_way.cache_clear()
    try:
        assert main(["generators", "work", "--root", str(root), "--engine", "http://127.0.0.1:1/v1"]) == 2
        said = capsys.readouterr().err
        check_execution(built_in())
    finally:
        find_way.cache_clear()
    assert "recipe run/1 has its files executed (execute_s)" in said
    assert "bwrap is not installed" in said
    assert "install bubblewrap" in said
