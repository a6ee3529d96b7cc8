"""The page behind nginx' password, below a prefix, as systemd/README.md says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import page_at
from tests.support.documents import section
from tests.support.nginx import Nginx
from tests.support.page_stage import Stage
from tests.support.place import open_place
from tests.support.wire import ask, request

pytest.importorskip("playwright", reason="NO BROWSER: pip install playwright")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser

expect.set_options(timeout=60_000)
USER, PASSWORD = "ops", "s3cret-word"
WRITTEN_FILE, WRITTEN_ADDRESS = "/etc/nginx/ingestd.htpasswd", "127.0.0.1:9401"


def location(stage: Stage, htpasswd: Path) -> str:
    """The documented location, with the test's file and port."""
    written = section("systemd/README.md", "### The status page")
    text: str
    [text] = re.findall(r"^```nginx\n(.*?)^```", written, re.MULTILINE | re.DOTALL)
    assert WRITTEN_FILE in text
    assert WRITTEN_ADDRESS in text
    return text.replace(WRITTEN_FILE, str(htpasswd)).replace(WRITTEN_ADDRESS, f"127.0.0.1:{stage.port}")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A stage whose nginx has the location in its site."""
    with open_place() as place:
        made = Stage(place)
        htpasswd = place / "htpasswd"
        command = ["openssl", "passwd", "-apr1", PASSWORD]
        hashed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        htpasswd.write_text(f"{USER}:{hashed}")
        htpasswd.chmod(0o644)
        site = place / "site.conf"
        text = site.read_text()
        at = text.rindex("}")  # the end of the last server
        site.write_text(f"{text[:at]}{location(made, htpasswd)}\n{text[at:]}")
        with made.daemon, made.nginx:
            yield made


def address(nginx: Nginx) -> str:
    return f"http://127.0.0.1:{nginx.port}/ingestd/"


def test_without_the_password_there_is_nothing(stage: Stage) -> None:
    for target in ("/ingestd/", "/ingestd/api/now", "/ingestd/tail"):
        assert ask(stage.nginx.address, request(target)).status == 401


def test_with_it_every_view_works_below_the_prefix(browser: Browser, stage: Stage) -> None:
    credentials = {"username": USER, "password": PASSWORD}
    with page_at(browser, address(stage.nginx), http_credentials=credentials) as page:
        expect(page.locator("#verdict")).to_contain_text("no click has come yet")
        page.keyboard.press("2")
        expect(page.locator('tr[data-name="ocean"]')).to_be_visible()
        page.goto(f"{address(stage.nginx)}#explain")
        page.fill("#pasted", "/c/ocean/app42?ts=1718000000123")
        page.click("#explain")
        expect(page.locator("#outcome")).to_contain_text("app42")
        page.goto(f"{address(stage.nginx)}#click=ocean")
        expect(page.locator(".waiting")).to_have_attribute("data-watching", "1")
        assert stage.get("/c/ocean/app42?ts=1718000000123&callback_param=x") == 200
        expect(page.locator("details.click")).to_be_visible()


def test_the_page_is_not_answered_under_another_site_s_name(stage: Stage) -> None:
    answer = ask(("127.0.0.1", stage.port), request("/api/now", host="evil.example"))
    assert answer.status == 421
    assert ask(("127.0.0.1", stage.port), request("/", host="evil.example")).status == 421
