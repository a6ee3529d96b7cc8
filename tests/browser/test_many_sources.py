"""The table with ten thousand sources stays a table one can work with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ingestd.config.sections import MAX_SOURCES
from tests.support.chromium import page_at
from tests.support.page_stage import Stage, staged
from tests.support.place import open_place

pytest.importorskip("playwright", reason="NO BROWSER: pip install playwright")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect.set_options(timeout=60_000)
SOURCES = [{"name": f"shop{number:05}", "path": f"/c/shop{number}"} for number in range(MAX_SOURCES)]
BUSY = 7777


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_place() as place, staged(place, SOURCES) as found:
        for number in range(30):
            assert found.get(f"/c/shop{BUSY}?n={number}") == 200
        yield found


@pytest.fixture
def page(browser: Browser, stage: Stage) -> Iterator[Page]:
    with page_at(browser, f"{stage.address}#sources") as found:
        expect(found.get_by_role("status").last).to_have_text("10,000 of 10,000 sources")
        yield found


def rows(page: Page) -> list[str]:
    found: list[str] = page.locator("tr.row").evaluate_all("rows => rows.map(row => row.dataset.name)")
    return found


def test_only_the_rows_in_sight_are_elements(page: Page) -> None:
    assert 10 < len(rows(page)) < 100
    expect(page.locator("table[role=grid]")).to_have_attribute("aria-rowcount", "10001")
    page.locator(".scroll").evaluate("one => one.scrollTop = one.scrollHeight / 2")
    expect(page.locator('tr[data-name^="shop05"]').first).to_be_visible()
    assert len(rows(page)) < 100


def test_the_busiest_is_first_and_any_column_sorts(page: Page) -> None:
    page.get_by_role("button", name="Last hour").click()
    expect(page.locator("tr.row").first).to_have_attribute("data-name", f"shop0{BUSY}")
    expect(page.locator("tr.row").first).to_contain_text("30")
    for _ in range(2):
        page.get_by_role("button", name=re.compile("^Source")).click()
    expect(page.locator("tr.row").first).to_have_attribute("data-name", "shop09999")


def test_a_search_finds_one_of_them_at_once(page: Page) -> None:
    page.fill("#search", "/c/shop4321")
    expect(page.locator("tr.row")).to_have_count(1)
    expect(page.get_by_role("status").last).to_have_text("1 of 10,000 sources")
    page.fill("#search", "no such")
    expect(page.get_by_role("status").last).to_have_text("No source matches.")


def test_keys_go_through_all_of_it(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Source")).click()
    page.locator("table[role=grid]").focus()
    page.keyboard.press("End")
    expect(page.locator("tr.selected")).to_have_attribute("data-name", "shop09999")
    expect(page.locator("tr.selected")).to_be_in_viewport()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("h2")).to_have_text("shop09998")


def test_a_test_click_of_one_of_them_is_seen(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.address}#click=shop09998")
    expect(page.locator(".waiting")).to_have_attribute("data-watching", "1")
    assert stage.get("/c/shop9998/app?a=1") == 200
    expect(page.locator("details.click")).to_contain_text("All that this platform needs has arrived.")
