"""A report in headless Chromium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 30.0
"""Seconds in which a page does what it is to do, on a machine with other work."""


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


def until(page: Page, condition: str, argument: Any = None) -> None:
    """Wait until a condition holds, asked from outside.

    Playwright's own ``wait_for_function`` asks again from within, where the page's policy forbids
    to evaluate a text, so that it fails as soon as a condition does not hold at once.
    """
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition, argument):
        assert time.monotonic() < end, f"it never holds: {condition}"
        page.wait_for_timeout(20)
