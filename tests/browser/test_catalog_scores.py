"""The scores of the catalog page: a histogram over tiers, and documents by score that open with their text."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from dashboard_page import Page, add_stream, serving
from selenium.webdriver.common.by import By

from streamer import Catalog, Document
from streamer.documents.document import document_id
from streamer.packing import tokenizer as tokenizers
from streamer.packing.packing import pack, sidecar_rows
from streamer.packing.tokenizer import end_of_document_id

OpenPage = Callable[[str], Page]
TIERS, SIZES = 20, {"desk": (1400, 900), "phone": (390, 844)}
BARS = "return [...document.querySelectorAll('.histogram .bar')].map((one) => Number(one.getAttribute('height')))"
ASKED = "return performance.getEntries().map((one) => one.name).filter((name) => /v1.(score|document)/.test(name))"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over twenty tiers of two languages and another set's, and a stream of another kind."""
    catalog, chance = Catalog(tmp_path_factory.mktemp("scored") / "root"), np.random.default_rng(3)
    text = "def f{0}(value):\n    return value + {0}  # <b>{1}</b>\n"
    tokenizer = tokenizers.train([text.format(number, "x") for number in range(40)], vocabulary=300)
    stamp = catalog.put_tokenizer(tokenizer.to_str())
    for name in ("scored/python", "scored/go", "scored@edu/python"):
        for tier in range(TIERS):
            documents = []
            for number in range(1 + tier):
                body = text.format(number, f"{name} {tier}") * 4
                known = {"path": f"{tier}/{number}<img src=x>.py", "repository": "r", "language": "python", "license": "MIT"}
                score = round(float(chance.uniform(tier, tier + 1)) / TIERS, 6)
                identity = document_id(name, f"{tier}/{number}", body)
                documents.append(Document(text=body, **known, document=identity, score=score))
            packed = pack(
                [tokenizer.encode(one.text).ids for one in documents],
                seq_len=32, dtype="uint16", end_of_document_id=end_of_document_id(tokenizer),
            )  # fmt: skip
            catalog.append(
                f"{name}/q{tier * 5:02d}",
                packed.rows,
                seq_len=32,
                tokenizer=stamp,
                documents=sidecar_rows(packed, documents),
            )
    add_stream(catalog, "raw/python", 20)
    with serving(Path(catalog.store.url.removeprefix("file://"))) as address:
        yield address


def choose(page: Page, label: str, value: str) -> None:
    select = page.field(label)
    page.run("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))", select, value)


def test_nothing_is_read_before_a_language_is_chosen(scored: str, open_page: OpenPage) -> None:
    page = open_page(scored)
    page.go("catalog")
    page.until(lambda: page.field("Scores of").is_displayed())
    assert page.run(ASKED) == []
    assert page.run("return [...arguments[0].options].map((one) => one.value)", page.field("Scores of")) == [
        "", "scored/go", "scored/python", "scored@edu/python",
    ]  # fmt: skip
    choose(page, "Scores of", "scored/python")
    page.until(
        lambda: "210 documents." in page.text("main") and page.driver.find_elements(By.CSS_SELECTOR, ".files > details")
    )
    assert not any("/document?" in name for name in page.run(ASKED))


def test_documents_are_listed_by_score_and_open_with_their_text(scored: str, open_page: OpenPage) -> None:
    page = open_page(scored)
    page.go("catalog?scores=scored/python")
    page.until(lambda: len(page.driver.find_elements(By.CSS_SELECTOR, ".files > details")) == 8)

    def scores() -> list[float]:
        return [float(one.text.split()[-1]) for one in page.driver.find_elements(By.CSS_SELECTOR, ".files .badge")]

    best = scores()
    assert best == sorted(best, reverse=True)
    assert best[0] > 0.95
    page.one(".files summary").click()
    page.until(lambda: "return value + " in page.text(".files pre"))
    assert page.text(".files pre").count("return value") == 4
    assert page.driver.find_elements(By.CSS_SELECTOR, ".files b, .files img") == []
    page.button("Next documents").click()
    page.until(lambda: "Documents 9 to 16." in page.text("main"))
    page.until(lambda: max(scores()) <= best[-1])
    choose(page, "Show", "worst")
    page.until(lambda: scores()[0] < 0.05 and scores() == sorted(scores()))
    page.driver.find_elements(By.CSS_SELECTOR, ".histogram g")[12].click()
    page.until(lambda: "show=12" in page.run("return location.hash"))
    low, high = [float(word) for word in page.table("Documents by score")[12]["Score"].split(" to ")]
    page.until(lambda: scores() and all(low - 0.001 <= score <= high + 0.001 for score in scores()))
    assert len(page.driver.find_elements(By.CSS_SELECTOR, ".histogram .chosen")) == 1
    page.go(page.run("return location.hash").removeprefix("#/"))  # a link to a colleague
    page.until(lambda: scores() and all(low - 0.001 <= score <= high + 0.001 for score in scores()))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_many_tiers_stay_readable(scored: str, open_page: OpenPage, scheme: str, size: str) -> None:
    page = open_page(scored)
    page.resize(*SIZES[size])
    page.prefer(scheme)
    page.go("catalog?scores=scored/python")
    page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, ".histogram"))
    bars = page.run(BARS)
    rows = page.table("Documents by score")
    assert len(bars) == len(rows) == 24
    counts = [int(row["Documents"]) for row in rows]
    assert sum(counts) == 210
    assert bars.index(max(bars)) == counts.index(max(counts))
    tiers = page.table("Tiers")
    assert len(tiers) == TIERS
    assert (tiers[0]["Stream"], tiers[0]["Documents"], tiers[0]["Parts read"]) == ("scored/python/q95", "20", "1 of 1")
    assert "210 documents from" in page.text(".histogram title")
    page.run("document.querySelectorAll('main details').forEach((one) => { one.open = true })")
    page.until(lambda: "Reading the document." not in page.text("main"))
    page.keep(f"scores-{scheme}-{size}", SIZES[size][0])
    assert page.run("return document.documentElement.scrollWidth") <= SIZES[size][0]
    heights = page.run(
        "return [...document.querySelectorAll('.histogram text')].map((one) => one.getBoundingClientRect().height)"
    )
    assert min(heights) >= 10
    assert page.barriers() == []
