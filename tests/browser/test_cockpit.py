"""A run as a cockpit: from a spike of the loss to its documents and to a fork without them, previews beside buttons,
confirmations, runs over each other, streams and their documents, new mixtures. Clicks are counted."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dashboard_page import Page, read_batches, serving
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from mixer import Mixtures, RunReader, Runs
from mixer.ledger.reports import Report, Reports
from streamer import Catalog

OpenPage = Callable[[str], Page]
SPIKE = 12  # the batch whose loss stands out
LOSS = "Loss, over steps"
SCORED = 'name = "best"\nseq_len = 64\n[[component]]\nstreams = "scored/*"\nshare = 1\nmax_passes = 40\n'
PYTHON = "[data-share='raw/python']"


@pytest.fixture
def spiked(seeded: Path) -> Path:
    """A run over scored documents, each batch reported, one with a loss far above the others."""
    mixture = Mixtures(seeded).apply(SCORED, by="operator")
    Runs(seeded).create("first", mixture=mixture, seed=7, global_batch=4, num_steps=2000, segment_batches=4, by="operator")
    Runs(seeded).extend("first", 24)
    for step in range(24):
        loss = 6.5 if step == SPIKE else 3 - 0.05 * step
        report = Report(start_step=step, end_step=step + 1, streams=["scored/python/q50"], samples=[4], loss=[loss])
        Reports(Catalog(seeded), "first").append(report)
    return seeded


def click_point(page: Page, title: str, place: int) -> None:
    """Presses on a point of a chart's first line, as a pointer does."""
    page.run(
        "const figure = [...document.querySelectorAll('figure')].find((one) => one.textContent.startsWith(arguments[0]));"
        "figure.scrollIntoView({ block: 'center' });",
        title,
    )
    x, y = page.run(
        "const figure = [...document.querySelectorAll('figure')].find((one) => one.textContent.startsWith(arguments[0]));"
        "const plot = figure.querySelector('.plot'), box = plot.getBoundingClientRect();"
        "const { xaxis, yaxis } = plot._fullLayout;"
        "const line = plot.data[0], place = arguments[1];"
        "return [box.left + xaxis._offset + xaxis.l2p(line.x[place]), box.top + yaxis._offset + yaxis.l2p(line.y[place])]",
        title,
        place,
    )
    pointer = ActionChains(page.driver)
    pointer.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    pointer.pause(0.3).click().perform()


def test_from_a_spike_of_the_loss_to_its_documents_and_a_fork_without_them(spiked: Path, open_page: OpenPage) -> None:
    with serving(spiked) as address:
        page = open_page(address)
        page.go("runs/first")
        page.until(lambda: page.chart(LOSS)[0]["y"])
        clicks = page.count_clicks()
        click_point(page, LOSS, SPIKE)
        page.until(lambda: f"Batch {SPIKE} is in the ledger" in page.text("main"))
        page.until(lambda: page.driver.find_elements("css selector", ".row details[open] code"))
        assert clicks() <= 2
        rows = page.run("return [...document.querySelectorAll('.row > p')].map((one) => one.textContent)")
        batch = RunReader(spiked, "first").read(SPIKE)
        assert [f"row {row} in it" in said for said, row in zip(rows, batch.origin["row"].tolist(), strict=True)] == [
            True
        ] * 4
        told = page.run("return [...document.querySelectorAll('.row summary')].map((one) => one.textContent)")
        assert all(".py" in one and "score" in one and "stdlib" in one for one in told)
        shown = str(page.run("return document.querySelector('.row details[open] code').textContent"))
        assert len(shown.split()) > 3

        page.button("Fork without this batch").click()
        assert page.field("At step").get_property("value") == ""  # of the switch, which stands first
        fork = page.run(
            "const form = [...document.querySelectorAll('form')].find((one) => one.elements.skip);"
            "return [form.elements.at_step.value, form.elements.skip.value]"
        )
        assert fork == [str(SPIKE), "1"]
        page.driver.switch_to.active_element.send_keys("calm")  # its name has the focus
        assert f"phasemix runs fork first calm --at-step {SPIKE} --skip 1" in page.text("main")
        page.button("Fork").click()
        page.until(lambda: page.text("h1").startswith("calm"))
        assert page.one("#said").is_displayed()
        assert page.text("#said") == f"run calm forks from first at step {SPIKE}"
    assert Runs(spiked).show("calm").skipped == [(SPIKE, 1)]


def test_a_stretch_of_steps_and_smoothing_stay_in_the_address(spiked: Path, open_page: OpenPage) -> None:
    with serving(spiked) as address:
        page = open_page(address)
        page.go("runs/first?from=10&to=16&smooth=0.9")
        page.until(lambda: page.chart(LOSS)[0]["x"] == [11, 12, 13, 14, 15, 16])
        assert max(page.chart(LOSS)[0]["y"]) < 4  # the spike is smoothed away
        page.button("Whole run").click()
        page.until(lambda: len(page.chart(LOSS)[0]["x"]) == 24)
        assert "from=" not in page.driver.current_url
        figures = page.text(".facts")
        assert "Trained24 batches" in figures
        assert "Tokens a second" in figures
        assert "Time to the end" in figures


def test_a_switch_is_previewed_beside_its_button_and_ending_asks_for_the_name(spiked: Path, open_page: OpenPage) -> None:
    Mixtures(spiked).apply(SCORED.replace("max_passes = 40", "max_passes = 2"))
    with serving(spiked) as address:
        page = open_page(address)
        page.go("runs/first")
        Select(page.field("Mixture")).select_by_visible_text("best@2")
        page.until(lambda: page.table("What the switch changes")[0]["Then"] == "100.00%")
        page.until(lambda: "max_passes = 2" in page.text("#switch .error"))
        assert "phasemix runs switch first best@2" in page.text("#switch .command")
        Select(page.field("Mixture")).select_by_visible_text("best@1")
        page.until(lambda: "best@1 holds now" in page.text("#switch"))

        ends = page.driver.find_element("xpath", "//summary[.='End the run']")
        ends.click()
        page.field("Type first to end it").send_keys("fir")
        page.button("End for good").click()
        page.until(lambda: "type first to end this run" in page.text("main"))
        assert Runs(spiked).show("first").ended is None
        page.field("Type first to end it").send_keys("st")
        page.button("End for good").click()
        page.until(lambda: page.text("#said") == "first has ended at step 24")
        assert page.one("#said").is_displayed()
        page.one("#said").click()
        assert "unseen" in str(page.one("#said").get_attribute("class"))
        page.driver.find_element("xpath", "//summary[.='Archive the run']").click()
        page.button("Archive").click()
        page.until(lambda: page.text("h1") == "Runs" and page.text("#said") == "first is archived")
        page.link("Archived runs").click()
        page.until(lambda: page.text("h1") == "Archived runs")
        page.until(lambda: page.table("Runs")[0]["Run"] == "first")
    assert Runs(spiked).show("first").ended


def test_start_change_a_ratio_in_mid_run_and_scale_in_few_clicks(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        page.go("catalog")
        clicks = page.count_clicks()
        page.link("Runs").click()
        page.link("Start a run").click()
        page.until(lambda: page.field("Name")).send_keys("first")
        field = page.field("Global batch")
        field.clear()
        field.send_keys("16")
        page.button("Start").click()
        page.until(lambda: page.text("h1").startswith("first"))
        assert clicks() <= 3
        page.until(lambda: page.text("#said").startswith("run first is created on general@1"))

        read_batches(small, "first", 0, 8)
        before = clicks()
        page.link("Change its ratios").click()
        page.until(lambda: page.table("Shares by key"))
        page.one(PYTHON).send_keys(Keys.ARROW_LEFT * 10)
        page.until(lambda: {row["Key"]: row["Share"] for row in page.table("Shares by key")}["python"] == "45.00%")
        assert "phasemix mixtures edit general@1 --set raw.pin.python=0.45 --yes" in page.text("main")
        page.button("Apply and switch first to it").click()
        page.until(lambda: page.text("h1").startswith("first"))
        assert clicks() - before <= 4
        page.until(lambda: page.text("#said").startswith("general@2 is applied and holds from step"))
        assert page.one("#said").is_displayed()
    assert Runs(small).history("first")[-1].mixture == "general@2"


def test_runs_lie_over_each_other(spiked: Path, open_page: OpenPage) -> None:
    Runs(spiked).fork("first", name="calm", at_step=SPIKE, skip=1, by="operator")
    Runs(spiked).extend("calm", SPIKE + 8)
    report = Report(start_step=SPIKE + 1, end_step=SPIKE + 5, streams=["scored/python/q50"], samples=[16], loss=[2.0])
    Reports(Catalog(spiked), "calm").append(report)
    with serving(spiked) as address:
        page = open_page(address)
        page.go("runs/calm")
        page.link("Compare with first").click()
        page.until(lambda: len(page.chart("Loss over all streams")) == 2)
        lines = {one["name"]: one["y"] for one in page.chart("Loss over all streams")}
        assert max(lines["first"]) == 6.5
        assert max(value for value in lines["calm"] if value is not None) == 2.0
        assert [row["Run"] for row in page.table("What they are")] == ["first", "calm"]
        page.until(lambda: page.table("History of calm"))
        assert "calm − first, points" in page.table("Shares now, by key")[0]
        page.driver.find_element("xpath", "//label[normalize-space()='first']").click()
        page.until(lambda: [row["Run"] for row in page.table("What they are")] == ["calm"])


def test_a_stream_shows_its_documents_and_who_draws_from_it(spiked: Path, open_page: OpenPage) -> None:
    with serving(spiked) as address:
        page = open_page(address)
        page.go("catalog")
        page.link("scored/python/q50").click()
        page.until(lambda: "Rows 0 to 7" in page.text("main"))
        assert "score" in page.text(".files summary")
        page.button("Next rows").click()
        page.until(lambda: "Rows 8 to 15" in page.text("main"))
        assert page.table("Runs")[0]["Run"] == "first"
        page.go("streams/documents/python")
        page.until(lambda: "bisect.py" in page.text(".files"))
        page.driver.get("about:blank")
        page.driver.get(f"{address}/#/streams/raw/none")
        page.until(lambda: "stream raw/none does not exist" in page.text("body"))
        page.complaints()  # that a stream is absent stands there, too


def test_a_new_mixture_begins_with_a_template(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        page.go("mixtures")
        page.link("New mixture").click()
        page.until(lambda: page.table("Shares by key"))
        options = {one.text: one.is_enabled() for one in Select(page.field("Template")).options}
        assert options["Python raised to a half"]
        assert not options["The best tokens, four times (needs scored/*)"]
        Select(page.field("Template")).select_by_visible_text("Python raised to a half")
        page.until(lambda: page.table("Shares by key")[0]["Share"] == "50.00%")
        text = page.one("textarea")
        text.send_keys(Keys.CONTROL, Keys.END)
        text.send_keys("nonsense = 1")
        page.until(lambda: "nonsense" in page.text("[role=alert]:not(:empty)"))
        page.complaints()  # the browser notes every 4xx by itself
        Select(page.field("Template")).select_by_visible_text("raw/* as it is")
        page.until(lambda: page.table("Shares by key")[0]["Share"] == "40.00%")
        page.button("Apply").click()
        page.until(lambda: page.text("h1") == "general@2")
        assert page.text("#said") == "general@2 is applied"
    assert Mixtures(small).versions("general")[-1].mixture == "general@2"
