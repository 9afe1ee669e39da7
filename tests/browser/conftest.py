"""A real service on loopback, a real root, a real headless Chromium; what the tests look at lands in build/screenshots."""

import hashlib
import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from dashboard_page import Page, add_stream
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from streaming import MDSWriter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mixer import Runs
from mixer.ledger.reports import Report, Reports
from mixer.preview.previews import Mixtures
from streamer import Catalog, Document
from streamer.packing.packing import pack, sidecar_rows
from streamer.packing.tokenizer import end_of_document_id

LANGUAGES = {
    "python": 90, "java": 80, "javascript": 60, "cpp": 50, "c": 45, "php": 40, "csharp": 35, "typescript": 35, "go": 25,
    "html": 20, "rust": 15, "ruby": 15, "shell": 12, "css": 10, "sql": 9, "scala": 8, "kotlin": 7, "lua": 4,
}  # fmt: skip
GENERAL = """
name = "general"
seq_len = 8
[[component]]
streams = "raw/*"
share = 1.0
pin = { python = 0.5 }
"""
ENHANCED = """
name = "enhanced"
seq_len = 8
[[component]]
streams = "synthetic/*"
share = 0.9
max_passes = 4
when_dry = "wait"
[[component]]
streams = "scored/*"
share = 0.1
max_passes = 4
"""


@pytest.fixture
def small(root: Path) -> Path:
    """Four streams and general@1, which pins Python to a half."""
    catalog = Catalog(root)
    for key, samples in {"python": 400, "java": 300, "go": 200, "rust": 100}.items():
        add_stream(catalog, f"raw/{key}", samples)
    Mixtures(catalog).apply(GENERAL, by="operator", why="the first try")
    return root


@pytest.fixture
def seeded(root: Path) -> Path:
    """Seed documents for the generators: modules of the standard library, as documents/python and scored/python/q50."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["def f(): pass"], trainer)
    documents = []
    for place, name in enumerate(("bisect", "heapq", "shlex", "textwrap", "queue", "fractions", "colorsys", "calendar")):
        text = (Path(sysconfig.get_path("stdlib")) / f"{name}.py").read_text()
        known = {"path": f"{name}.py", "repository": "stdlib", "language": "python", "license": "PSF-2.0"}
        identity = hashlib.sha256(text.encode()).hexdigest()[:32]
        documents.append(Document(text=text, **known, document=identity, score=float(place)))
    columns = dict.fromkeys(("text", "path", "repository", "language", "license", "document"), "str")
    folder = root.parent / "mds"
    with MDSWriter(out=str(folder), columns={**columns, "score": "float64"}) as writer:
        for document in documents:
            writer.write({name: getattr(document, name) for name in (*columns, "score")})
    catalog = Catalog(root)
    catalog.publish_directory("documents/python", folder)
    ids = [tokenizer.encode(document.text).ids for document in documents]
    packed = pack(ids, seq_len=64, dtype="uint16", end_of_document_id=end_of_document_id(tokenizer))
    stamp, sidecar = catalog.put_tokenizer(tokenizer.to_str()), sidecar_rows(packed, documents)
    catalog.append("scored/python/q50", packed.rows, seq_len=64, tokenizer=stamp, documents=sidecar)
    return root


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page has something to show: streams that grew, versions, a run with a switch and losses, one that ended."""
    root = tmp_path_factory.mktemp("world") / "catalog"
    catalog, mixtures, runs = Catalog(root), Mixtures(root), Runs(root)
    for kind, parts in {"raw": (4, 3, 5), "scored": (1, 2), "synthetic": (2, 1, 1, 2)}.items():
        for language, samples in LANGUAGES.items():
            add_stream(catalog, f"{kind}/{language}", *(samples * part for part in parts))
    mixtures.apply(GENERAL, by="operator", why="as the corpus is, Python to a half")
    mixtures.apply(ENHANCED, by="operator", why="the third phase")
    mixtures.apply_edit("enhanced@1", {"synthetic.pin.python": 0.5}, by="colleague", why="Python to a half, as in the paper")
    mixtures.apply_edit("enhanced@2", {"synthetic.pin.python": 0.4}, by="operator", why="an ablation: less Python")
    runs.create("base", mixture="general@1", seed=1, global_batch=32, num_steps=24, segment_batches=8, by="operator")
    runs.extend("base", 24)
    runs.create(
        "first", mixture="enhanced@1", seed=17, global_batch=32, segment_batches=4, by="operator", why="the paper's phase"
    )
    runs.extend("first", 40)
    runs.switch("first", "enhanced@2", by="colleague", why="Python to a half")
    runs.extend("first", 80)
    rng = np.random.default_rng(17)
    streams = [use.stream for use in runs.use("first")]
    for start in range(0, 80, 4):
        loss = [1.3 + 2 * float(np.exp(-start / 25)) + float(rng.normal(0, 0.02)) for _ in streams]
        report = Report(start_step=start, end_step=start + 4, streams=streams, samples=[4] * len(streams), loss=loss)
        Reports(catalog, "first").append(report)
    return root


def find_program(name: str) -> str:
    found = shutil.which(name)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{name} is missing; apt-get install chromium chromium-driver")
    if found is None:
        pytest.skip(f"{name} is missing; apt-get install chromium chromium-driver")
    return found


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = find_program("chromium")
    profile = tmp_path_factory.mktemp("profile")
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", f"--user-data-dir={profile}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(find_program("chromedriver")))
    yield found
    found.quit()


@pytest.fixture
def open_page(driver: webdriver.Chrome) -> Iterator[Callable[[str], Page]]:
    """open_page(address): a page of 1400 x 900 in light colours, whose console must stay silent."""
    opened: list[Page] = []

    def make(address: str) -> Page:
        page = Page(driver, address)
        page.resize(1400, 900)
        page.prefer("light")
        page.complaints()
        opened.append(page)
        return page

    yield make
    said = [line for page in opened for line in page.complaints()]
    driver.get("about:blank")
    assert said == []
