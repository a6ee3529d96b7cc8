"""A real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

BINARY = Path("/usr/bin/chromium")
# It asks nobody in the background for anything.
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
# The machine may be busy: this is only for what never comes.
TIMEOUT_MS = 60_000


def why_not() -> str:
    """Why there is no browser; "" where there is one."""
    if not BINARY.exists():
        return f"NO BROWSER: there is no {BINARY} (apt-get install chromium)"
    if importlib.util.find_spec("playwright") is None:
        return "NO BROWSER: pip install playwright"
    return ""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with nothing in it. Nothing else may run an asyncio loop in this thread meanwhile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(BINARY), args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def _is_fault(line: ConsoleMessage) -> bool:
    """An error in the console, but for a refusal or a daemon's end, which the page shows in words."""
    said = (" 400 ", " 404 ", " 502 ", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING")
    shown = "/api/" in line.location["url"] and any(status in line.text for status in said)
    return line.type == "error" and not shown


@contextmanager
def page_at(browser: Browser, address: str, **context: Any) -> Iterator[Page]:
    """A page of its own, open at an address. Whatever goes wrong in it is an error here when it is left.

    `context`: options of `Browser.new_context`, such as `locale` and `color_scheme`.
    """
    made = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **context})
    made.set_default_timeout(TIMEOUT_MS)
    page = made.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if _is_fault(line) else None)

    def refuse(dialog: Dialog) -> None:
        errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    try:
        page.goto(address)
        yield page
    finally:
        made.close()
    assert not errors, "\n".join(errors)
