"""`phasemix doctor`: what must be mended is named, with its remedy, and nothing else is."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from deploy.command_line import main
from deploy.guidance.versions import Requirement, judge, parse_requirement
from streamer import Catalog
from streamer.extras import EXTRAS
from streamer.sandbox.sandbox import find_way

Told = list[dict[str, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Told]]:
    """told(words) gives the exit code and the findings."""

    def ask(*words: str) -> tuple[int, Told]:
        code = main(["doctor", *words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return ask


def of(findings: Told, check: str) -> list[tuple[str, str]]:
    return [(one["state"], one["said"]) for one in findings if one["check"] == check]


def test_a_root_in_use_is_told_by_its_identity_and_is_left_as_it_was(
    root: Path, fill: Callable[..., Catalog], told: Callable[..., tuple[int, Told]]
) -> None:
    fill("raw/go", 8)
    before = sorted(root.rglob("*"))
    _, findings = told("--root", str(root))
    (first, second) = of(findings, "root")
    identity = json.loads((root / "identity" / "00000000").read_text())["id"]
    assert first[0] == second[0] == "ok"
    assert identity[:8] in first[1]
    assert "1 stream" in first[1]
    assert sorted(root.rglob("*")) == before


def test_an_absent_root_is_not_made(root: Path, told: Callable[..., tuple[int, Told]]) -> None:
    _, findings = told("--root", str(root))
    assert [state for state, _ in of(findings, "root")] == ["ok", "ok"]
    assert not root.exists()


def test_without_a_root_it_says_how_to_name_one(
    told: Callable[..., tuple[int, Told]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PHASEMIX_ROOT", raising=False)
    _, findings = told()
    ((state, said),) = of(findings, "root")
    assert state == "note"
    assert "PHASEMIX_ROOT" in said


def test_a_damaged_root_must_be_mended(
    root: Path, fill: Callable[..., Catalog], told: Callable[..., tuple[int, Told]]
) -> None:
    fill("raw/go", 8)
    (root / "identity" / "00000000").write_text('{"format":"root/1","id":"x","check":"y"}')
    code, findings = told("--root", str(root))
    assert code == 1
    state, said = of(findings, "root")[-1]
    assert state == "mend"
    assert "restore" in said


def test_a_full_disk_must_be_mended(small_disk: Path, told: Callable[..., tuple[int, Told]]) -> None:
    code, findings = told("--root", str(small_disk / "catalog"))
    assert code == 1
    assert any(state == "mend" and str(small_disk) in said for state, said in of(findings, "disk"))


def test_a_redis_and_an_engine_that_do_not_answer_are_named_without_their_password(
    told: Callable[..., tuple[int, Told]],
) -> None:
    code, findings = told("--redis", "redis://me:secret@127.0.0.1:1", "--engine", "http://127.0.0.1:1/v1")
    assert code == 1
    assert of(findings, "redis")[0][0] == of(findings, "engine")[0][0] == "mend"
    assert "secret" not in json.dumps(findings)


def test_a_base_installation_needs_no_redis(told: Callable[..., tuple[int, Told]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "generators", ("a_module_that_nobody_has",))
    monkeypatch.delenv("PHASEMIX_REDIS", raising=False)
    _, findings = told()
    assert [state for state, _ in of(findings, "redis")] == ["note"]


def test_a_sandbox_is_told_and_only_noted_where_none_can_be_made(
    told: Callable[..., tuple[int, Told]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find_way.cache_clear()
    ((state, said),) = of(told()[1], "sandbox")
    assert state == "ok" or "no sandbox can be made" in said
    monkeypatch.setenv("PATH", str(tmp_path))
    find_way.cache_clear()
    ((state, said),) = of(told()[1], "sandbox")
    find_way.cache_clear()
    assert state == "note"
    assert "install bubblewrap" in said


def test_a_folder_that_hides_a_package_must_be_mended(tmp_path: Path) -> None:
    (tmp_path / "generators").mkdir()
    (tmp_path / "generators" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "deploy.command_line", "doctor", "--json"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    ((state, said),) = of(json.loads(done.stdout), "folders")
    assert state == "mend"
    assert f"{tmp_path}/generators hides generators" in said


def test_versions_are_judged_by_the_bounds_of_the_distribution() -> None:
    lines = ("numpy<2.2,>=2.1", "torch>=2.7,<2.7.1; extra == 'train'", "composer>=0.32; extra == 'train'",
             "scikit-learn>=1.6; extra == 'corpus'")  # fmt: skip
    needed = [parse_requirement(line) for line in lines]

    def judged(**installed: str) -> list[tuple[str, str]]:
        have = {"scikit-learn": installed.pop("sklearn", None), **{one.name: None for one in needed[:3]}, **installed}
        return [(found.check, found.state) for found in judge(needed, have)]

    whole = {"numpy": "2.1.3", "torch": "2.7.0+cpu", "composer": "0.32.1", "sklearn": "1.7"}
    assert judged(**whole) == [("packages", "ok"), ("[train]", "ok"), ("[corpus]", "ok")]
    assert judged(**{**whole, "numpy": "2.2.0"})[0] == ("packages", "mend")
    assert judged(**{**whole, "torch": "2.7.1"})[1] == ("[train]", "mend")
    assert judged(numpy="2.1.0") == [("packages", "ok"), ("[train]", "note"), ("[corpus]", "note")]
    assert judged(torch="2.7.0", composer="0.32.1", sklearn="1.6")[0] == ("packages", "mend")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("datatrove[io]<0.10,>=0.9; extra == 'corpus'", Requirement("datatrove", SpecifierSet("<0.10,>=0.9"), "corpus")),
        ("argcomplete>=3.6", Requirement("argcomplete", SpecifierSet(">=3.6"), None)),
        ("numpy", Requirement("numpy", SpecifierSet(""), None)),
    ],
)
def test_requirements_are_read_as_metadata_has_them(text: str, found: Requirement) -> None:
    assert parse_requirement(text) == found
