"""Each part of the page with a running daemon behind nginx: what a person sees and does."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import page_at
from tests.support.daemon import environment, ingestd
from tests.support.page_stage import PLATFORMS, Stage, fresh, staged, targets
from tests.support.place import open_place

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("playwright", reason="NO BROWSER: pip install playwright")

from playwright.sync_api import expect

expect.set_options(timeout=60_000)  # only for what never comes


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Every platform of the samples, and a few clicks of each."""
    with open_place() as place, staged(place) as found:
        for number, target in enumerate(targets(found.daemon)):
            assert found.get(fresh(target, 10**17 + number)) == 200
        yield found


@pytest.fixture
def page(browser: Browser, stage: Stage) -> Iterator[Page]:
    with page_at(browser, stage.address) as found:
        yield found


def at(page: Page, stage: Stage, view: str) -> None:
    page.goto(f"{stage.address}#{view}")


def row(page: Page, name: str) -> Locator:
    return page.locator(f'tr[data-name="{name}"]')


def test_it_says_that_all_is_well(page: Page) -> None:
    expect(page.locator("#verdict")).to_contain_text(
        re.compile(r"All is well: [\d.,]+ clicks/s, every answered click on disk\.")
    )
    expect(page.locator("#verdict")).to_have_class("verdict-bar ok")
    expect(page).to_have_title("✓ ingestd")


def test_the_charts_of_the_last_hour_outlive_a_reload_of_the_page(page: Page, stage: Stage) -> None:
    legend = page.locator("figure", has_text="Clicks arriving a second, by source").locator(".u-legend")
    expect(legend).to_contain_text("ocean")
    expect(page.locator("figure", has_text="Time to reply").locator("canvas")).to_be_visible()
    page.reload()
    expect(legend).to_contain_text("ocean")
    expect(page.locator("figure", has_text="Refused a second")).to_contain_text("Nothing was refused")


def test_the_table_is_searched_sorted_and_opened_by_mouse(page: Page, stage: Stage) -> None:
    at(page, stage, "sources")
    expect(row(page, "ocean")).to_contain_text("Ocean Engine")
    expect(page.locator("tbody tr.row")).to_have_count(len(PLATFORMS))
    page.get_by_role("button", name="Source", exact=True).click()
    expect(page.locator("tbody tr.row").first).to_have_attribute("data-name", "adjust")
    page.fill("#search", "bilib")
    expect(page.locator("tbody tr.row")).to_have_count(1)
    row(page, "bili").click()
    expect(page.locator("h2")).to_have_text("bili")


def test_a_source_shows_its_link_its_clicks_and_what_check_says(page: Page, stage: Stage) -> None:
    at(page, stage, "source=ocean")
    link = page.locator("#link")
    expect(link).to_contain_text("https://click.example.com/c/ocean?advertiser_id=__ADVERTISER_ID__")
    page.fill("#route", "app42")
    expect(link).to_contain_text("https://click.example.com/c/ocean/app42?")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == link.text_content()
    expect(page.locator(".problems")).to_contain_text("the platform can sign (md5_url_key)")
    click = page.locator("details.event").first
    expect(click).to_contain_text("macro:imei")
    click.locator("summary").click()
    expect(click.locator("pre")).to_contain_text('"callback_param": "***"')
    expect(page.locator("figure", has_text="Flags over the last hour").locator(".u-legend")).to_contain_text(
        "Macros left in3"
    )


def test_a_url_is_explained_with_its_macros_and_mistakes_marked(page: Page, stage: Stage) -> None:
    at(page, stage, "explain")
    page.fill(
        "#pasted",
        "https://click.example.com/c/ocean/app42?ts=1718000000123&imei=__IMEI__&x=100%&callback_param=s3cret-x",
    )
    page.press("#pasted", "Control+Enter")
    expect(page.locator(".piece.macro").first).to_have_text("__IMEI__")
    expect(page.locator("#url")).to_contain_text("callback_param=***")
    expect(page.locator("#mistakes")).to_contain_text("a lone % must be written %25")
    expect(page.locator("#outcome")).to_contain_text("app42")
    expect(page.locator("main")).to_contain_text("macro:imei")
    expect(page.locator("main")).not_to_contain_text("s3cret-x")


def test_a_body_is_explained_for_the_source_it_is_for(page: Page, stage: Stage) -> None:
    at(page, stage, "explain")
    page.select_option("#what", "adjust")
    page.fill("#pasted", "click_id=7&click_time=1718000000")
    page.click("#explain")
    expect(page.locator("#outcome")).to_contain_text("adjust")
    expect(page.locator("main")).to_contain_text("click_id")
    page.fill("#pasted", "")
    page.select_option("#what", "")
    page.click("#explain")
    expect(page.get_by_role("alert").last).to_contain_text("nothing was pasted")


def test_nothing_that_is_explained_is_counted(page: Page, stage: Stage) -> None:
    before = stage.status()["sources"]["ocean"]
    at(page, stage, "explain")
    page.fill("#pasted", "/c/ocean?ts=1718000000123&imei=__IMEI__")
    page.click("#explain")
    expect(page.locator("#outcome")).to_be_visible()
    assert stage.status()["sources"]["ocean"] == before


def test_a_test_click_is_seen_arriving_field_by_field(page: Page, stage: Stage) -> None:
    at(page, stage, "click")
    page.fill("#source", "ocean")
    page.press("#source", "Enter")
    expect(page.locator(".waiting")).to_contain_text("Waiting for a click of ocean")
    watching(page)
    assert stage.get("/c/ocean/first?ts=1718000000123&callback_param=s3cret-y&imei=__IMEI__&os=0") == 200
    click = page.locator("details.click")
    expect(click).to_contain_text("All that this platform needs has arrived.")
    expect(field(click, "imei")).to_contain_text("macro left in")
    expect(field(click, "callback_param")).to_contain_text("***")
    expect(field(click, "oaid")).to_contain_text("missing")
    assert stage.get("/c/ocean/second?ts=__TS__&os=0") == 200
    newest = click.first
    expect(newest).to_contain_text("Missing for this platform: callback_param, ts")
    expect(newest).to_have_class("click bad")
    expect(page.locator(".waiting")).to_contain_text("Clicks: 2")


def watching(page: Page) -> None:
    """Wait until the page follows the events: an earlier click is not shown."""
    expect(page.locator(".waiting")).to_have_attribute("data-watching", "1")


def field(click: Locator, name: str) -> Locator:
    return click.locator("tr.field", has=click.page.get_by_role("rowheader", name=re.compile(rf"^{name}\b")))


def test_who_waits_for_a_click_is_told_of_requests_for_other_paths(page: Page, stage: Stage) -> None:
    at(page, stage, "click=ocean")
    watching(page)
    assert stage.get("/c/ocaen/app42?ts=1") == 404
    expect(page.locator("main")).to_contain_text("requests came for a path that no source takes")


def test_conservation_is_a_picture_that_adds_up_and_moves(page: Page, stage: Stage) -> None:
    at(page, stage, "conservation")
    expect(page.locator(".equation")).to_contain_text("it adds up")
    received = stage.status()["sources"]["weibo"]["received"]
    total = sum(one["received"] for one in stage.status()["sources"].values())
    figure = page.locator(".flow .figure").first
    expect(figure).to_have_text(f"{total:,}")
    assert stage.get("/c/weibo?clicktime=1718000000000") == 200
    expect(figure).to_have_text(f"{total + 1:,}")
    assert stage.status()["sources"]["weibo"]["received"] == received + 1


def test_manifests_and_the_last_audit_are_shown(page: Page, stage: Stage) -> None:
    stage.rotate()
    subprocess.run(ingestd("audit", "-c", str(stage.daemon.config)), env=environment(), check=True)
    at(page, stage, "conservation")
    expect(page.locator(".card", has_text="Manifests")).to_contain_text("The chains are whole.")
    expect(page.locator(".card", has_text="Last audit")).to_contain_text("all there")


def test_it_is_used_by_keyboard_alone(page: Page, stage: Stage) -> None:
    page.keyboard.press("2")
    expect(row(page, "ocean")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("ocean")
    expect(page.locator("tbody tr.row")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h2")).to_have_text("ocean")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("#sources$"))
    for key, title in (("1", "Overview"), ("3", "Test click"), ("4", "Explain"), ("5", "Conservation")):
        page.keyboard.press(key)
        expect(page.locator("nav a[aria-current]")).to_have_text(title)
        page.locator("h1").click()  # out of the field the page may have put the cursor into


def test_it_speaks_the_browser_s_language_and_can_be_switched(browser: Browser, stage: Stage) -> None:
    with page_at(browser, stage.address, locale="zh-CN") as page:
        expect(page.locator("#verdict")).to_contain_text("一切正常")
        expect(page.locator("nav")).to_contain_text("来源")
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        page.click("#language")
        expect(page.locator("#verdict")).to_contain_text("All is well")
        page.reload()
        expect(page.locator("nav")).to_contain_text("Sources")


@pytest.mark.parametrize(
    "view", ["overview", "sources", "source=ocean", "click=ocean", "explain", "conservation"]
)
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_it_fits_a_narrow_dark_screen(browser: Browser, stage: Stage, view: str, language: str) -> None:
    screen = {"width": 390, "height": 800}
    with page_at(
        browser, f"{stage.address}#{view}", viewport=screen, color_scheme="dark", locale=language
    ) as page:
        expect(page.locator("#verdict .says").first).to_be_visible()
        expect(page.locator("main > section")).to_be_visible()
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
