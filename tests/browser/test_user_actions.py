"""What users do, end to end in a browser: start a run on a mixture, change a ratio while it trains, apply and switch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dashboard_page import Page, add_stream, read_batches, serving
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from mixer import Runs
from mixer.preview.previews import Mixtures
from streamer import Catalog

OpenPage = Callable[[str], Page]
SHARES = "Target (dashed) and realised share"
PYTHON = "[data-share='raw/python']"


def fill(page: Page, values: dict[str, str]) -> None:
    for label, value in values.items():
        field = page.field(label)
        field.clear()
        field.send_keys(value)


def line(page: Page, key: str, what: str) -> list[float]:
    """The y of a key's target or realised line."""
    traces: list[dict[str, Any]] = page.chart(SHARES)
    return next(([*one["y"]] for one in traces if (one["name"], one["meta"]) == (key, what)), [])


def shares_of(page: Page) -> dict[str, float]:
    return {row["Key"]: float(row["Share"].rstrip("%")) for row in page.table("Shares by key")}


def start_run(page: Page, name: str, batch: str = "16") -> None:
    page.go("mixtures")
    page.link("general").click()
    page.link("Start a run with general@1").click()
    page.until(lambda: page.field("Name"))
    assert Select(page.field("Mixture")).first_selected_option.text == "general@1"
    page.one("main summary").click()
    fill(page, {"Name": name, "Global batch": batch, "Segment batches": "4", "Why": "to see a ratio change"})
    page.button("Start").click()
    page.until(lambda: page.text("h1").startswith(name))


def test_start_a_run_drag_python_from_50_to_35_apply_switch_and_watch(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        start_run(page, "first")
        assert "--mixture general@1 --run first" in page.text("main")

        read_batches(small, "first", 0, 40)  # the page follows by itself
        page.until(lambda: line(page, "python", "realised"))
        assert line(page, "python", "target")[-1] == pytest.approx(0.5, abs=1e-6)

        page.link("general@1").click()
        page.until(lambda: shares_of(page)["python"] == 50.0)
        before = shares_of(page)
        slider = page.one(PYTHON)
        width = slider.size["width"]
        ActionChains(page.driver).drag_and_drop_by_offset(slider, round(-0.15 * width), 0).perform()
        moved = round((float(str(slider.get_property("value"))) - 35) * 2)
        assert abs(moved) <= 4  # the pointer comes as near as pixels allow, half points by key
        slider.send_keys((Keys.ARROW_LEFT if moved > 0 else Keys.ARROW_RIGHT) * abs(moved))
        page.until(lambda: shares_of(page)["python"] == 35.0)
        after = shares_of(page)
        assert sum(after.values()) == pytest.approx(100, abs=0.03)
        for key in ("java", "go", "rust"):
            assert after[key] == pytest.approx(before[key] * 65 / 50, abs=0.011)
        changes = {row["Key"]: row["Change, points"] for row in page.table("Shares by key")}
        assert changes["python"] == "−15.00"

        fill(page, {"Why": "less Python"})
        page.button("Apply as a new version").click()
        page.until(lambda: page.text("h1") == "general@2")
        assert "less Python" in page.text(".lead")
        page.link("Switch first to it").click()
        page.until(lambda: Select(page.field("Mixture")).first_selected_option.text == "general@2")
        page.button("Switch").click()
        page.until(lambda: "general@2 holds from step 40" in page.text("#said"))
        assert page.driver.switch_to.active_element.text == "Switch"  # where the keyboard was

        read_batches(small, "first", 40, 120)
        page.until(lambda: (line(page, "python", "target") or [0])[-1] == pytest.approx(0.35, abs=1e-6))
        page.until(lambda: page.text(".facts").count("120"))
        behind = [sum(line(page, "python", what)[30:]) for what in ("target", "realised")]
        assert behind[1] == pytest.approx(behind[0], rel=0.02)
        page.until(lambda: page.table("Target and realised by stream")[0]["Share now"] == "35.00%")
        history = page.table("History")
        assert (history[0]["Event"], history[0]["Mixture"]) == ("switched", "general@2")
    assert Runs(small).show("first").shares["raw/python"] == pytest.approx(0.35)


def test_the_same_by_keyboard_alone_with_focus_in_sight(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        page.go("catalog")
        keys = ActionChains(page.driver)

        def tab_to(is_there: Callable[[Any], bool]) -> None:
            for _ in range(60):
                keys.send_keys(Keys.TAB).perform()
                there = page.driver.switch_to.active_element
                assert page.run("return getComputedStyle(arguments[0]).outlineStyle", there) != "none"
                if is_there(there):
                    return
            raise AssertionError("60 tabs did not lead there")

        page.run("document.activeElement.blur()")
        tab_to(lambda one: one.text == "Skip to the page")
        tab_to(lambda one: one.text == "Mixtures")
        keys.send_keys(Keys.ENTER).perform()
        page.until(lambda: page.text("h1") == "Mixtures")
        tab_to(lambda one: one.text == "general")
        keys.send_keys(Keys.ENTER).perform()
        page.until(lambda: page.text("h1") == "general@1" and shares_of(page))
        tab_to(lambda one: one.get_attribute("data-share") == "raw/python")
        keys.send_keys(Keys.ARROW_LEFT * 30).perform()
        page.until(lambda: shares_of(page)["python"] == 35.0)
        tab_to(lambda one: one.get_attribute("name") == "why")
        keys.send_keys("by keyboard", Keys.ENTER).perform()
        page.until(lambda: page.text("h1") == "general@2")
    assert Mixtures(small).versions("general")[-1].why == "by keyboard"


def test_who_applies_after_somebody_else_is_told_and_loses_nothing(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        page.go("mixtures/general/1")
        page.until(lambda: shares_of(page))
        page.one(PYTHON).send_keys(Keys.ARROW_LEFT * 10)
        page.until(lambda: shares_of(page)["python"] == 45.0)
        Mixtures(small).apply_edit("general@1", {"raw.pin.java": 0.2}, by="colleague", why="more Java")
        page.until(lambda: "colleague" in page.text(".notice"))  # which may be too young to be read
        page.button("Apply as a new version").click()
        page.until(lambda: "general@2" in page.text("[role=alert]:not(:empty)"))
        assert "colleague" in page.text(".notice")
        assert page.one(PYTHON).get_property("value") == "45"
        page.link("Move your changes to general@2").click()
        page.until(lambda: page.text("h1") == "general@2" and shares_of(page)["java"] == 20.0)
        assert shares_of(page)["python"] == 45.0
        page.button("Apply as a new version").click()
        page.until(lambda: page.text("h1") == "general@3")
    shares = {row.key: row.share for row in Mixtures(small).preview("general@3").keys}
    assert (shares["python"], shares["java"]) == (pytest.approx(0.45), pytest.approx(0.2))


def test_an_edit_survives_a_reload_for_its_address_has_it(small: Path, open_page: OpenPage) -> None:
    with serving(small) as address:
        page = open_page(address)
        page.go("mixtures/general/1")
        page.until(lambda: shares_of(page))
        page.one(PYTHON).send_keys(Keys.ARROW_LEFT * 10)
        fill(page, {"Horizon, tokens": "1M"})
        page.until(lambda: "1M tokens" in page.text(".lead.figures"))
        page.driver.refresh()
        page.until(lambda: shares_of(page)["python"] == 45.0)
        assert "1M tokens" in page.text(".lead.figures")


def test_names_with_dots_survive_a_reload_and_a_key_with_a_pinned_stream_stays(small: Path, open_page: OpenPage) -> None:
    component = '[[component]]\nname = "r.w"\nstreams = "raw/*"\nshare = 1\npin = { "raw/java" = 0.2 }\n'
    Mixtures(small).apply(f'name = "dots"\nseq_len = 8\n{component}', by="operator")
    add_stream(Catalog(small), "raw/java/more", 100)
    with serving(small) as address:
        page = open_page(address)
        page.go("mixtures/dots/1")
        page.until(lambda: shares_of(page))
        python = float(str(page.one("[data-share='r.w/python']").get_property("value")))
        page.one("[data-share='r.w/python']").send_keys(Keys.ARROW_LEFT * 10)
        page.until(lambda: shares_of(page)["python"] == python - 5)
        page.driver.refresh()
        page.until(lambda: shares_of(page)["python"] == python - 5)
        assert page.one("[data-share='r.w/python']").get_property("value") == f"{python - 5:g}"
        assert not page.one("[data-share='r.w/java']").is_enabled()
        assert page.one("[data-share='r.w/raw/java']").is_enabled()


def test_refusals_stand_beside_the_form_in_the_api_s_own_words(small: Path, open_page: OpenPage) -> None:
    Runs(small).create("first", mixture="general@1", seed=1, global_batch=16, segment_batches=4)
    Runs(small).extend("first", 8)
    with serving(small) as address:
        page = open_page(address)
        page.go("runs/first")
        fill(page, {"At step": "3"})
        page.button("Switch").click()
        page.until(lambda: "step 3 is in the ledger already" in page.text("#switch [role=alert]"))
        page.complaints()  # the browser notes every 4xx by itself
