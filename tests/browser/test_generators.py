"""The generators' page over `phasemix up`: real workers that come and go, real files accepted and rejected."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dashboard_page import Page
from selenium.webdriver.support.ui import Select

OpenPage = Callable[[str], Page]


def phasemix(*words: str) -> str:
    argv = [sys.executable, "-P", "-m", "phasemix", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def services(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`phasemix up` with one worker and an order of files: the dashboard's address."""
    root = ("--root", str(seeded))
    with tempfile.TemporaryDirectory(prefix="pm") as runtime:  # short enough for Unix sockets
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        phasemix("up", *root, "--workers", "1")
        try:
            phasemix("generators", "seed", *root, "--from", "scored/*", "--files", "24", "--language", "python")
            rows = json.loads(phasemix("status", *root, "--json"))
            yield next(row["address"] for row in rows if row["name"] == "mixer")
        finally:
            phasemix("down", *root)


def test_scaling_starts_workers_and_their_files_can_be_looked_at(services: str, open_page: OpenPage) -> None:
    page = open_page(services)
    page.go("catalog")
    clicks = page.count_clicks()
    page.link("Generators").click()
    page.until(lambda: "1 of 1 wanted" in page.text(".facts"))
    field = page.field("Wanted workers")
    field.clear()
    field.send_keys("3")
    page.button("Scale").click()
    assert clicks() == 2
    page.until(lambda: page.text("#said") == "3 workers are wanted")
    assert page.one("#said").is_displayed()
    page.until(lambda: "3 of 3 wanted" in page.text(".facts"))
    assert len(page.table("Workers")) == 3
    page.until(lambda: page.chart("Files a minute")[0]["y"])

    page.until(lambda: page.text(".facts").count("Accepted24"))
    page.until(lambda: page.one(".files details"))
    page.one(".files summary").click()
    page.until(lambda: page.one(".files details[open] code .t-k"))  # a keyword
    assert "written by rules, not by a model" in page.text(".files details[open] code .t-c1")
    measured = page.text(".files details[open] ul")
    assert re.search(r"code size [0-9]+ \(at least 16\)", measured)
    assert re.search(r"likeness 0(\.[0-9]+)? \(at most 0.7\)", measured)
    recipe = page.table("What recipes give")[0]
    assert (recipe["Recipe"], recipe["Language"]) == ("oss-instruct-file/1", "python")
    assert float(recipe["Written for each"]) > 0
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.keep(f"generators-live-{scheme}", 1400)
        assert page.barriers() == []
    page.resize(390, 844)
    page.keep("generators-live-phone", 390)
    assert page.run("return document.documentElement.scrollWidth") <= 390
    assert page.barriers() == []
    Select(page.field("Show")).select_by_visible_text("rejected")
    page.until(lambda: "accepted" not in page.text(".files"))

    page.field("Seed documents").clear()
    page.field("Seed documents").send_keys("scored/*")
    page.field("Files").send_keys("3")
    assert "phasemix generators seed --from 'scored/*' --files 3" in page.text("main")
    page.button("Order files").click()
    page.until(lambda: "3 files from scored/*" in page.text("#said"))
    page.until(lambda: [row["Wanted"] for row in page.table("Orders of files")] == ["3", "24"])
    page.button("Drain").click()
    page.until(lambda: page.text("#said").startswith("no more jobs are planned"))
    page.until(lambda: "0 wanted" in page.text(".facts"))
