"""The sentence at the top of the page in each of five states, and what it says to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import page_at
from tests.support.needs import need_root
from tests.support.page_states import STATES
from tests.support.place import open_place

pytest.importorskip("playwright", reason="NO BROWSER: pip install playwright")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser

expect.set_options(timeout=60_000)
SAYS = {
    "idle": ("ok", "Ready; no click has come yet."),
    "load": ("ok", r"All is well: [\d.,]+ clicks/s, every answered click on disk, Kafka [\d.]+ s behind\."),
    "kafka-unreachable": ("warn", r"Kafka unreachable.*: clicks are kept"),
    "disk-full": ("bad", r"The disk is full: clicks are refused"),
    "misbehaving": ("warn", r"ocean: \d+ % of clicks arrive with callback_param not filled in\."),
}  # fmt: skip
DOES = {
    "idle": "choose a source under Test click",
    "load": "",
    "kafka-unreachable": "delivery resumes by itself",
    "disk-full": "Make room",
    "misbehaving": "Compare the link in the platform's console",
}


@pytest.mark.parametrize("name", STATES)
def test_the_page_says_what_is_so_and_what_to_do(browser: Browser, name: str) -> None:
    if name == "disk-full":
        need_root()
    with open_place() as place, STATES[name](place) as stage, page_at(browser, stage.address) as page:
        level, says = SAYS[name]
        verdict = page.locator("#verdict")
        expect(verdict).to_have_class(f"verdict-bar {level}")
        expect(verdict).to_contain_text(re.compile(says))
        expect(verdict).to_contain_text(DOES[name])
        if name == "disk-full":
            expect(page.locator("figure", has_text="Refused a second").locator(".u-legend")).to_contain_text(
                "storage"
            )
        if name == "kafka-unreachable":
            expect(page.locator("figure", has_text="Kafka behind").locator("canvas")).to_be_visible()
        if name == "misbehaving":
            expect(verdict).to_contain_text("baidu")
            expect(verdict).to_contain_text("paths that no source takes")
