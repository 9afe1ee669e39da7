"""Every page, light and dark, on a desk and on a phone: silent under the strict policy, within its width; for readers
without writes. The pictures lie in build/screenshots."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dashboard_page import Page, add_stream, serving
from selenium.webdriver.common.by import By

from mixer import Runs
from mixer.preview.previews import Mixtures
from mixer.runs.evaluations import Evaluation, Measured, note_evaluation
from streamer import Catalog

OpenPage = Callable[[str], Page]
PAGES = {
    "catalog": "catalog?sort=-tokens",
    "mixtures": "mixtures",
    "mixture": "mixtures/enhanced/2?tokens=40K&compare=enhanced@1&by=stream",
    "mixture-edited": 'mixtures/enhanced/3?tokens=2K&set={"synthetic.pin.python":0.35,"synthetic.pin.java":0.2}',
    "runs": "runs",
    "mixture-new": "mixtures/new?template=enhanced",
    "run": "runs/first?batch=3&smooth=0.5",
    "stream": "streams/raw/python",
    "compare": "compare?runs=base,first",
    "run-new": "runs/new",
    "generators": "generators",
}
SIZES = {"desk": (1400, 900), "phone": (390, 844)}
WRITING = "main form button.primary, main a[href*='runs/new'], main a[href*='switch=']"


@pytest.fixture(scope="module")
def world_service(world: Path) -> Iterator[str]:
    with serving(world) as address:
        yield address


def wait_for_charts(page: Page) -> None:
    page.until(
        lambda: page.run("return [...document.querySelectorAll('figure:not([hidden]) .plot')].every((one) => one.data)")
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_silent_fits_and_follows_the_scheme(
    world_service: str, open_page: OpenPage, name: str, scheme: str, size: str
) -> None:
    page = open_page(world_service)
    page.resize(*SIZES[size])
    page.prefer(scheme)
    page.go(PAGES[name])
    wait_for_charts(page)
    page.keep(f"{name}-{scheme}-{size}", SIZES[size][0])
    assert page.run("return document.documentElement.scrollWidth") <= SIZES[size][0]
    assert not re.findall(r"\b(?:null|undefined|NaN)\b", page.text("main"))
    ground = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, ground.strip("rgb()").split(","))) < 60) == (scheme == "dark")
    assert page.run(
        "return [...document.querySelectorAll('main input, main select')].every((one) => one.labels.length || one.ariaLabel)"
    )
    assert page.run("return document.querySelector('h1') && document.title.includes('phasemix')")
    assert page.barriers() == []


def test_a_chart_changes_with_the_scheme_while_it_is_looked_at(world_service: str, open_page: OpenPage) -> None:
    page = open_page(world_service)
    page.go("catalog")
    wait_for_charts(page)
    colour = "return getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    light = page.run(colour)
    page.prefer("dark")
    page.until(lambda: page.run(colour) != light)


def test_hostile_names_are_text(world_service: str, open_page: OpenPage) -> None:
    page = open_page(world_service)
    page.go("mixtures/general/1?tokens=<img src=x onerror=alert(1)>")
    page.until(lambda: "is not a number of tokens" in page.text("main"))
    assert page.driver.find_elements(By.CSS_SELECTOR, "main img") == []


def test_what_is_not_there_is_said_in_the_api_s_own_words(world_service: str, open_page: OpenPage) -> None:
    page = open_page(world_service)
    page.driver.get(f"{world_service}/#/runs/none")
    page.until(lambda: "run none does not exist" in page.text("main"))
    page.driver.get("about:blank")
    page.driver.get(f"{world_service}/#/runs/%")
    page.until(lambda: "cannot be the name of a run" in page.text("main"))
    page.complaints()  # the browser notes every 4xx by itself


def test_a_service_that_is_away_is_said_and_the_page_stays(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        page.go("catalog")
        page.until(lambda: page.table("Streams"))
    page.until(lambda: "the service does not answer" in page.text("#state"))
    assert len(page.table("Streams")) == 4
    page.complaints()  # the browser notes every connection that is refused


def test_a_page_that_could_not_be_shown_comes_when_the_service_is_back(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        page.go("catalog")
    page.run("location.hash = '#/mixtures'")
    page.until(lambda: page.text("h1") == "This page cannot be shown")
    with serving(small, port=int(address.rpartition(":")[2])):
        page.until(lambda: page.text("h1") == "Mixtures" and page.text("#state") == "up to date")
        page.complaints()  # the browser notes every connection that is refused


def test_the_longest_names_fit_a_phone(root: Path, open_page: OpenPage) -> None:
    word = "w" * 64
    add_stream(Catalog(root), "/".join([word] * 6), 20)
    mixture = f'name = "{word}"\nseq_len = 8\n[[component]]\nstreams = "{word}/*"\nshare = 1\n'
    Mixtures(root).apply(mixture, by="operator", why=word)
    Runs(root).create(word, mixture=f"{word}@1", seed=(1 << 63) - 1, global_batch=4, segment_batches=2, why=word)
    Runs(root).extend(word, 4)
    with serving(root) as address:
        page = open_page(address)
        page.resize(*SIZES["phone"])
        for place in ("catalog", "mixtures", f"mixtures/{word}/1", "runs", f"runs/{word}", "runs/new"):
            page.go(place)
            wait_for_charts(page)
            assert page.run("return document.documentElement.scrollWidth") <= SIZES["phone"][0], place
        page.go(f"runs/{word}")
        page.until(lambda: f"batch.seed={(1 << 63) - 1}" in page.text("main"))


def test_what_a_run_came_to_on_benchmarks_stands_on_its_page(small: Path, open_page: OpenPage) -> None:
    Runs(small).create("first", mixture="general@1", seed=1, global_batch=4)
    found = [
        Measured(benchmark="HumanEvalPlus", digest="d", tasks=160, passed=8, base_passed=9, bits_per_byte=0.75),
        Measured(benchmark="BigCodeBench", digest="e", tasks=0, passed=0, not_checked=1140),
    ]
    evaluation = Evaluation(
        step=40, checkpoint="c", weights="w", writer="transformers", max_new_tokens=768, checker={}, benchmarks=found
    )
    with serving(small) as address:
        page = open_page(address)
        page.go("runs/first")
        page.until(lambda: "Train it" in page.text("main"))
        is_hidden = "return document.querySelector('#title-evaluations').closest('section').hidden"
        assert page.run(is_hidden)
        note_evaluation(Catalog(small), "first", evaluation)
        page.until(lambda: not page.run(is_hidden))
        rows = page.table("Evaluations")
        shown = [[row[name] for name in ("Step", "Benchmark", "pass@1", "Tasks", "Bits per byte")] for row in rows]
        assert shown == [["40", "BigCodeBench", "", "0", ""], ["40", "HumanEvalPlus", "5.0 %", "160", "0.750"]]


def test_an_empty_root_says_which_command_comes_next(root: Path, open_page: OpenPage) -> None:
    with serving(root) as address:
        page = open_page(address)
        for place, command in {
            "catalog": "phasemix corpus ingest", "mixtures": "phasemix mixtures apply", "runs": "phasemix runs create",
            "generators": "phasemix up", "runs/new": "phasemix mixtures apply",
        }.items():  # fmt: skip
            page.go(place)
            page.until(lambda command=command: command in page.text(".empty"))


def test_readers_see_no_write_controls_until_they_give_a_token(world: Path, tmp_path: Path, open_page: OpenPage) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"reader read {'r' * 24}\noperator write {'w' * 24}\n")
    tokens.chmod(0o600)
    with serving(world, tokens=tokens) as address:
        page = open_page(address)
        for place in ("mixtures/enhanced/3", "runs", "runs/first", "runs/new", "generators"):
            page.go(place)
            page.until(lambda: page.text("main"))
            assert page.driver.find_elements(By.CSS_SELECTOR, WRITING) == [], place
        assert "read-only" in page.text("#session")
        page.one("#session summary").click()
        page.field("Token", "#session").send_keys("n" * 24)
        page.one("#session .primary").click()
        page.until(lambda: "not known" in page.text("#session [role=alert]"))
        page.field("Token", "#session").clear()
        page.field("Token", "#session").send_keys("w" * 24)
        page.one("#session .primary").click()
        page.until(lambda: "operator" in page.text("#session"))
        assert page.field("Wanted workers").is_enabled()
        page.go("runs/first")
        page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, WRITING))
        page.one("#session summary").click()
        page.one("#session .token .card > button").click()
        page.until(lambda: "read-only" in page.text("#session"))
        page.complaints()  # the 401 of the unknown token


def test_a_page_that_nobody_looks_at_asks_for_nothing(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        page.go("runs")
        asked = "return performance.getEntriesByType('resource').length"
        page.run("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        page.run("return new Promise((done) => setTimeout(done, 2500))")
        before = page.run(asked)
        page.run("return new Promise((done) => setTimeout(done, 4500))")
        assert page.run(asked) == before
        page.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        page.until(lambda: page.run(asked) > before)
