"""A page open in a browser, and what it did that a page should not do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page


@contextmanager
def opened(browser: Browser, path: Path, fragment: str = "", **options: Any) -> Iterator[Page]:
    """The page, once its script has run. At the end: it said nothing on the console and asked for nothing but files.

    options: as `Browser.new_context` takes them, such as `color_scheme="dark"`.
    """
    options = {"viewport": {"width": 1280, "height": 900}, "accept_downloads": True} | options
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(5000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: complaints.extend(_elsewhere(request.url)))
    try:
        page.goto(path.as_uri() + fragment)
        yield page
    finally:
        context.close()
    assert complaints == []


def _elsewhere(address: str) -> list[str]:
    return [] if re.match("(file|data|blob):", address) else [f"request: {address}"]


def count_line(page: Page) -> str:
    """What the page says of the units that it lists."""
    return page.locator("#count").inner_text()


def settled(page: Page, n_drawn: int) -> None:
    """Wait until so many pictures are drawn."""
    page.locator("canvas[data-drawn]").nth(n_drawn - 1).wait_for(state="attached")
