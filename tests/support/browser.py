"""A real Chromium without a window, and what pages did in it: their errors, and whom they asked."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

# WebGL2 by software, as machines without a GPU have it; root has no sandbox.
OPTIONS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
START_MS = 120_000  # a shared machine with two cores takes its time


@dataclasses.dataclass
class Browsed:
    """A page, and what has happened in it."""

    page: Any
    complaints: list[str] = dataclasses.field(default_factory=list)  # of the console, and uncaught errors
    requests: list[str] = dataclasses.field(default_factory=list)

    @property
    def strayed(self) -> list[str]:
        """Requests that leave this machine, or could."""
        return [
            url
            for url in self.requests
            if urlsplit(url).scheme not in ("file", "data", "blob") and urlsplit(url).hostname != "127.0.0.1"
        ]

    def open(self, url: str) -> None:
        """Open a report, and wait until it is drawn."""
        self.page.goto(url, timeout=START_MS)
        self.page.wait_for_selector("html[data-ready]", state="attached", timeout=START_MS)

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true. Our pages forbid the eval of `wait_for_function`."""
        until = time.monotonic() + START_MS / 1000
        while not self.ask(f"Boolean({condition})"):
            assert time.monotonic() < until, f"never so: {condition}"
            self.page.wait_for_timeout(50)

    def ask(self, expression: str) -> Any:
        return self.page.evaluate(expression)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed here (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(OPTIONS), timeout=START_MS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def browsed(browser: Any, width: int = 1280, height: int = 800) -> Iterator[Browsed]:
    """A page of its own."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(START_MS)
    seen = Browsed(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            seen.complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    try:
        yield seen
    finally:
        context.close()
