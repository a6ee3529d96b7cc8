"""Several instances on a machine: one page shows all of them, through one address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import page_at
from tests.support.page_stage import Stage, staged
from tests.support.place import open_place
from tests.support.wire import ask, request

pytest.importorskip("playwright", reason="NO BROWSER: pip install playwright")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_place() as place, staged(place, instances=3) as found:
        for daemon in found.daemons:
            for number in range(4):
                assert ask(daemon.socket, request(f"/c/ocean?ts=1718000000123&n={number}")).status == 200
        yield found


@pytest.fixture
def page(browser: Browser, stage: Stage) -> Iterator[Page]:
    with page_at(browser, stage.address) as found:
        expect(found.locator("#verdict")).to_contain_text("All is well on 3 instances")
        yield found


def test_the_figures_are_those_of_all_or_of_the_one_that_is_chosen(page: Page) -> None:
    page.keyboard.press("5")
    figure = page.locator(".flow .figure").first
    expect(figure).to_have_text("12")
    page.get_by_label("Instance").select_option(
        label=page.get_by_label("Instance").locator("option").nth(2).inner_text()
    )
    expect(figure).to_have_text("4")
    expect(page.locator(".where")).to_contain_text("/1")


def test_the_table_adds_up_the_instances(page: Page) -> None:
    page.keyboard.press("2")
    expect(page.locator('tr[data-name="ocean"] td').nth(3)).to_have_text("12")


def test_a_test_click_is_seen_whichever_instance_takes_it(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.address}#click=ocean")
    expect(page.locator(".waiting")).to_have_attribute("data-watching", "3")
    for number, daemon in enumerate(stage.daemons):
        assert (
            ask(daemon.socket, request(f"/c/ocean/app{number}?ts=1718000000123&callback_param=x")).status
            == 200
        )
    for number in range(3):
        expect(page.locator("details.click", has_text=f"app{number}")).to_be_visible()


def test_an_instance_that_ends_is_said_and_is_back_when_it_is(page: Page, stage: Stage) -> None:
    stage.daemons[2].stop()
    expect(page.locator("#verdict")).to_contain_text("no answer")
    expect(page.locator("#verdict")).to_have_class("verdict-bar warn")
    stage.daemons[2].start()
    expect(page.locator("#verdict")).to_have_class("verdict-bar ok")


def test_the_page_outlives_its_own_daemon(page: Page, stage: Stage) -> None:
    stage.daemon.stop()
    expect(page.locator(".lost")).to_contain_text("The daemon does not answer")
    stage.daemon.start()
    expect(page.locator(".lost")).to_be_hidden()
    expect(page.locator("#verdict")).to_contain_text("All is well on 3 instances")
