"""A report in headless Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; where there is none the test is skipped."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=found,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield launched
        launched.close()


@contextmanager
def tab(browser: Browser, file: Path, fragment: str = "") -> Iterator[Page]:
    """The report in a new tab; what it asks the network for or complains of fails."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    events: list[str] = []
    opened.on("console", lambda message: events.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: events.append(f"error: {error}"))
    opened.on("request", lambda request: events.append(f"request: {request.url}"))
    opened.goto(file.as_uri() + fragment)
    ready(opened)
    yield opened
    opened.close()
    assert {event.partition("#")[0] for event in events} == {f"request: {file.as_uri()}"}


def ready(page: Page) -> None:
    """Wait until the page's script has begun."""
    page.wait_for_selector("html[data-ready]", state="attached")
