"""The browser that prints the book and that its pages are tested in: an installed Chromium."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext

__all__ = ["find", "launch", "start"]

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
)
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """The path of a Chromium: `CHROMIUM` if it is set, else the first one installed, else None."""
    if named := os.environ.get("CHROMIUM"):
        return named
    found = (shutil.which(name) for name in NAMES)
    return next((path for path in (*found, *PLACES) if path and Path(path).exists()), None)


@contextmanager
def start() -> Iterator[Browser]:
    """A headless browser without a window yet. Raises `RuntimeError` when there is no Chromium."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (not every build needs it)

    path = find()
    if path is None:
        raise RuntimeError(
            "no Chromium, Chrome or Edge was found; install one (on Debian and Ubuntu: "
            "apt-get install chromium) or name it: CHROMIUM=/path/to/chromium"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def launch(**options: Any) -> Iterator[BrowserContext]:
    """A browser of its own with an empty profile; `options` as for Playwright's contexts."""
    with start() as browser:
        yield browser.new_context(**options)
