"""A page of the dashboard in a browser, and the service that it asks."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from mixer import RunReader
from streamer import Catalog

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
AXE = Path(__file__).parents[1] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_S = 60
SEQ_LEN = 8


def add_stream(catalog: Catalog, name: str, *parts: int) -> None:
    """Appends parts of so many samples."""
    for samples in parts:
        rows = (np.arange(samples * SEQ_LEN) % 60000).reshape(samples, SEQ_LEN).astype(np.uint16)
        catalog.append(name, rows, seq_len=SEQ_LEN)


@contextmanager
def serving(root: Path, *, tokens: Path | None = None, port: int = 0) -> Iterator[str]:
    """The address of a service that answers, in a process of its own."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = [str(root), str(listener.fileno()), "loopback"]
        argv = [sys.executable, "-m", "deploy.local.service_process", *words, *([str(tokens)] if tokens else [])]
        environment = {**os.environ, "PHASEMIX_REDIS": "redis://127.0.0.1:1/0"}
        process = subprocess.Popen(argv, pass_fds=[listener.fileno()], env=environment)
    try:
        urllib.request.urlopen(f"{address}/health", timeout=PATIENCE_S).close()
        yield address
    finally:
        process.terminate()
        process.wait()


class Page:
    """A browser's window on the dashboard of a service."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver, self.address = driver, address

    def go(self, place: str) -> None:
        """A page as if its address had been typed."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.address}/#/{place}")
        self.until(lambda: self.text("#state") == "up to date")

    def until(self, is_so: Callable[[], Any]) -> Any:
        """Waits until the page has come so far; an element that went away meanwhile is looked for again."""
        return WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.1, ignored_exceptions=[Exception]).until(
            lambda _: is_so()
        )

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.one(selector).get_property("textContent"))

    def link(self, text: str) -> WebElement:
        found: WebElement = self.until(lambda: self.driver.find_element(By.LINK_TEXT, text))
        return found

    def button(self, text: str) -> WebElement:
        return self.driver.find_element(By.XPATH, f"//main//button[normalize-space()='{text}']")

    def field(self, label: str, within: str = "main") -> WebElement:
        """The input that a label names."""
        labels = self.one(within).find_elements(By.TAG_NAME, "label")
        found = next(one for one in labels if one.get_property("textContent") == label)
        return self.driver.find_element(By.ID, str(found.get_attribute("for")))

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def chart(self, title: str) -> list[dict[str, Any]]:
        """The data behind a chart: of each trace its name, what it is (`meta`), x and y."""
        found = self.run(
            "const figures = [...document.querySelectorAll('figure')];"
            "const figure = figures.find((one) => one.textContent.startsWith(arguments[0]));"
            "const data = figure.querySelector('.plot').data ?? [];"
            "return JSON.stringify(data.map(({ name, meta, x, y }) => ({ name, meta, x: [...x], y: [...y] })))",
            title,
        )
        traces: list[dict[str, Any]] = json.loads(found)
        return traces

    def table(self, caption: str) -> list[dict[str, str]]:
        """A table's rows by their columns' titles."""
        found: list[dict[str, str]] = self.run(
            "const region = document.querySelector(`[role=region][aria-label='${arguments[0]}']`);"
            "const titles = [...region.querySelectorAll('thead th')].map((one) => one.textContent);"
            "return [...region.querySelectorAll('tbody tr')].map((row) =>"
            " Object.fromEntries([...row.children].map((cell, place) => [titles[place], cell.textContent])));",
            caption,
        )
        return found

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def keep(self, name: str, width: int) -> None:
        """A picture of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.resize(width, int(self.run("return document.documentElement.scrollHeight")))
        self.run("return new Promise((done) => setTimeout(done, 400))")
        self.driver.save_screenshot(str(SCREENSHOTS / f"{name}.png"))

    def count_clicks(self) -> Callable[[], int]:
        """Counts the presses of the pointer from now on, also over changes of the page's address."""
        self.run(
            "window.presses = 0;"
            "document.addEventListener('click', (event) => { if (event.isTrusted) window.presses += 1; }, { capture: true })"
        )
        return lambda: int(self.run("return window.presses"))

    def barriers(self) -> list[str]:
        """What axe-core finds serious or critical for people who read with other senses or means: rule, element, why.

        The driver puts axe-core into the page, so the policy stays as it is.
        """
        if not AXE.exists() and not os.environ.get("CI"):
            pytest.skip(f"{AXE} is missing; make pages")
        self.run(AXE.read_text())
        found: list[str] = self.driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => done(violations"
            ".filter(({ impact }) => ['serious', 'critical'].includes(impact))"
            ".flatMap(({ id, nodes }) => nodes.map((one) => `${id}: ${one.html.slice(0, 200)}: ${one.failureSummary}`))))"
        )
        return found

    def complaints(self) -> list[str]:
        """What the console has said since the last time: errors, warnings, violations of the policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


def read_batches(root: Path, run: str, start: int, end: int) -> None:
    """What a trainer does: it reads, and the ledger grows."""
    reader = RunReader(root, run)
    for step in range(start, end):
        reader.read(step)
