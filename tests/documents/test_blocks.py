"""Every block of the documents is run as it is printed; every command that they name parses.

A document's blocks run in their order in one folder that holds `my-code`, some source files: `bash` blocks by bash, each
`python` block behind those before it. The README's first block, a quickstart, runs once: the README's other blocks and each
page of `docs/howto` begin in a copy of the folder that it left, those of the README with its services up again. A page that
names `s3://my-bucket` has an S3 server on loopback with that bucket, empty. A comment `<!-- not run: REASON -->` before a
block leaves it out; the reasons stand here.
"""

import argparse
import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.command_line import NOUNS

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
REASONS = Counter(
    {
        "it runs for minutes, in a test of its own": 1,
        "it needs several processes": 1,
        "it needs benchmarks": 2,
        "it needs grain": 1,
        "it needs vLLM": 5,
        "nothing is dead": 1,
    }
)
README = REPOSITORY / "README.md"
STDLIB = Path(sysconfig.get_path("stdlib"))


class Block(NamedTuple):
    language: str
    text: str
    reason: str | None


def blocks(document: Path) -> list[Block]:
    return [Block(found["language"], found["text"], found["reason"]) for found in FENCE.finditer(document.read_text())]


def write_code(folder: Path) -> None:
    for name in ("json", "email", "logging", "http", "importlib"):
        shutil.copytree(STDLIB / name, folder / "my-code" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for number in range(16):
        script = "\n".join(f"echo line {place} of {number}; test -d /tmp/{place} && ls" for place in range(60 + number))
        path = folder / "my-code" / "scripts" / f"s{number}.sh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")


@pytest.fixture(scope="module")
def after_quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart")
    write_code(folder)
    try:
        run_bash(blocks(README)[0].text, folder)
    finally:
        run_bash("phasemix down --root phasemix-root", folder)
    return folder


@pytest.fixture
def folder(document: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where a person works; whatever was started for a root in it is stopped."""
    place = tmp_path / "work"
    if document == README or document.parent.name == "howto":
        shutil.copytree(request.getfixturevalue("after_quickstart"), place)
    else:
        write_code(place)
    yield place
    for root in place.glob("*root*"):
        run_bash(f"phasemix down --root {shlex.quote(str(root))}", place)


@pytest.fixture
def bucket(document: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of a server that has an empty `my-bucket`, for the pages that name it."""
    if "s3://my-bucket" not in document.read_text() or document.parent.name != "howto":
        return {}
    import boto3

    endpoint = request.getfixturevalue("s3_endpoint")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    client.create_bucket(Bucket="my-bucket")
    return {**keys, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}


def environment(folder: Path) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name != "PHASEMIX_ROOT"}
    path = os.pathsep.join([str(Path(sys.executable).parent), found["PATH"]])
    return {**found, "PATH": path, "HOME": str(folder), "XDG_RUNTIME_DIR": "", "OMP_NUM_THREADS": "1"}


def run_bash(script: str, folder: Path, **variables: str) -> None:
    done = subprocess.run(
        ["bash", "-x", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder, env=environment(folder) | variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=850,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_blocks_of_a_document_run_as_printed(document: Path, folder: Path, bucket: dict[str, str]) -> None:
    script = []
    for number, block in enumerate(blocks(document)):
        if document == README and not number:
            script.append("phasemix up --root phasemix-root")  # this block has run, where the folder was copied from
        elif block.reason is None and block.language == "bash":
            script.append(block.text)
        elif block.reason is None and block.language == "python":
            code = folder / f"block_{number}.py"
            before = [one.text for one in blocks(document)[:number] if one.language == "python" and one.reason is None]
            code.write_text("\n".join([*before, block.text]))
            script.append(f"python -P {code}")
    if script:
        run_bash("\n".join(script), folder, **bucket)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_say_their_language_and_tables_of_settings_parse(document: Path) -> None:
    fences = re.findall(r"^```.*$", document.read_text(), re.MULTILINE)
    assert fences[1::2] == ["```"] * (len(fences) // 2)
    assert "```" not in fences[::2]
    for block in blocks(document):
        if block.language == "toml":
            tomllib.loads(block.text)


def test_what_is_not_run_has_a_known_reason() -> None:
    found = Counter(block.reason for document in DOCUMENTS for block in blocks(document) if block.reason)
    assert found == REASONS


class Refusal(Exception):
    pass


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise Refusal(message)


INLINE, LINE = re.compile(r"`phasemix ([^`]+)`"), re.compile(r"^(?:\$ )?phasemix ([^#|\n]+)", re.MULTILINE)
ABBREVIATED = re.compile(r"\.\.\.|\[|\||NOUN|--help|--version")


def commands(text: str) -> Iterator[tuple[list[str], bool]]:
    """What is named in full, and whether it stands in a block: prose may leave arguments out."""
    fenced = "\n".join(found["text"] for found in FENCE.finditer(text) if found["language"] == "bash").replace("\\\n", " ")
    for words, is_printed in [
        *((w, False) for w in INLINE.findall(FENCE.sub("", text))),
        *((w, True) for w in LINE.findall(fenced)),
    ]:
        if not ABBREVIATED.search(words):
            yield shlex.split(words.split(">")[0].rstrip(" &")), is_printed


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_parses(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEMIX_ROOT", "root")
    refused = []
    for words, is_printed in commands(document.read_text()):
        try:
            parse(words)
        except Refusal as error:
            if is_printed or not re.search("required|expected one argument", str(error)):
                refused.append((words, str(error)))
    assert refused == []


def strings(path: Path) -> Iterator[str]:
    """The texts of a module, a value in one of them as `X1`."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X1" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
    else:
        yield from re.sub(r"\$\{[^}]*\}", "X1", path.read_text()).splitlines()


MESSAGE = re.compile(rf"`phasemix ([^`\n]+)`|(?:^|: |; )phasemix ((?:{'|'.join(NOUNS)}) [^`\n;,]+)", re.MULTILINE)
LINE_GOES_ON = "train X1"  # of the page, whose next line has the rest


@pytest.mark.parametrize("room", ["streamer", "mixer", "generators", "training", "deploy"])
def test_every_command_that_a_message_names_parses(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEMIX_ROOT", "root")
    refused, number = [], 0
    paths = [path for path in sorted((REPOSITORY / room).rglob("*")) if path.suffix in (".py", ".js", ".html")]
    for text in (text for path in paths for text in strings(path)):
        for found in MESSAGE.finditer(text):
            words = (found[1] or found[2]).split(">")[0].split("#")[0]
            if ABBREVIATED.search(words) or words.startswith(LINE_GOES_ON) or " N" in words:
                continue
            number += 1
            try:
                parse(shlex.split(words))
            except Refusal as error:
                if not re.search("required|expected one argument|prints help", str(error)):
                    refused.append((words, str(error)))
    assert refused == []
    assert number


def parse(words: list[str]) -> None:
    if words[0] == "--root" and len(words) == 2:
        return  # `phasemix` alone, with a root
    if words[0] not in NOUNS:
        raise Refusal(f"no command {words[0]}")
    parser = Parser(prog=words[0])
    add: Callable[[argparse.ArgumentParser], None] = import_module(NOUNS[words[0]][0]).NOUNS[words[0]]
    add(parser)
    try:
        parser.parse_args([word.rstrip(",;") for word in words[1:]])
    except SystemExit as error:
        raise Refusal("it prints help only") from error
