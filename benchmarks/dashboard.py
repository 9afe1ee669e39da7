"""Opening the dashboard's catalog page with 400 streams in a browser, the chart library in the browser's cache.

From the navigation's start to the mark that the page sets when table and both charts are drawn; headless Chromium beside the
service on one machine. `cold_ms` is the very first time, the library not yet fetched.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.report import Report, main
from streamer import Catalog

STREAMS, SEQ_LEN, REPEATS = 400, 64, 7
LANGUAGES = 18
DRAWN = "return performance.getEntriesByName('drawn').at(0)?.startTime ?? null"


def measure() -> Report:
    with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder:
        root = Path(folder) / "catalog"
        fill(root)
        with serving(root) as address:
            cold_ms, *warm = open_catalog(address, Path(folder) / "profile")
    row = {"streams": STREAMS, "opened": REPEATS, "cold_ms": cold_ms, "median_ms": statistics.median(warm)}
    return Report(
        "the catalog page",
        [{**row, "slowest_ms": max(warm)}],
        {"catalog_ms": statistics.median(warm)},
        {"catalog_ms": ("<=", 1000.0)},
    )


def fill(root: Path) -> None:
    """Streams of a few samples: what the page shows of one does not grow with it."""
    catalog = Catalog(root)
    for place in range(STREAMS):
        rows = np.full((1 + place % 7, SEQ_LEN), place, np.uint16)
        catalog.append(f"scored/language{place % LANGUAGES}/q{place // LANGUAGES:02d}", rows, seq_len=SEQ_LEN)


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The address of a service that answers, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = [str(root), str(listener.fileno()), "loopback"]
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.service_process", *words],
            pass_fds=[listener.fileno()],
            env={**os.environ, "PHASEMIX_REDIS": "redis://127.0.0.1:1/0"},
            stderr=subprocess.DEVNULL,
        )
    try:
        urllib.request.urlopen(f"{address}/health", timeout=60).close()
        yield address
    finally:
        process.terminate()
        process.wait()


def open_catalog(address: str, profile: Path) -> list[float]:
    """Milliseconds of each opening, the first with nothing in the cache."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        raise RuntimeError("chromium or chromedriver is missing; apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", f"--user-data-dir={profile}"):
        options.add_argument(word)
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        found = []
        for _ in range(1 + REPEATS):
            driver.get("about:blank")
            driver.get(f"{address}/#/catalog")
            found.append(WebDriverWait(driver, 60, poll_frequency=0.05).until(lambda page: page.execute_script(DRAWN)))
            shown = driver.execute_script("return document.querySelectorAll('main tbody tr').length")
            assert shown == STREAMS, f"{shown} rows are shown of {STREAMS}"
        return [float(one) for one in found]
    finally:
        driver.quit()


if __name__ == "__main__":
    sys.exit(main(measure, __doc__))
