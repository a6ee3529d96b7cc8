"""What platforms send is text on the page, whatever it looks like: nothing runs, all of it can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.chromium import page_at
from tests.support.page_stage import Stage, staged
from tests.support.place import open_place

pytest.importorskip("playwright", reason="NO BROWSER: pip install playwright")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect.set_options(timeout=60_000)
MARKUP = (
    "<img src=x onerror='window.ran=1'>", "<script>window.ran=1</script>", '"><svg onload=window.ran=1>',
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>", "javascript:window.ran=1",
    "</pre></details><h1 id=fake>All is well</h1>", "<style>body{display:none}</style>", "{{constructor}}",
    "${window.ran=1}", "&lt;b&gt;", "\u202eevil", "a\x00b",
)  # fmt: skip
TITLE = "<b id=fake>Shop</b>"
SOURCES = [{"name": "wild", "path": "/c/wild", "title": TITLE, "link": {"q0": "__Q0__"}, "mandatory": ["q0"]}]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_place() as place, staged(place, SOURCES) as found:
        assert found.get(target()) == 200
        yield found


def target() -> str:
    """A click whose parameters, their names and its route are markup."""
    pairs = [f"q{number}={quote(text)}&{quote(text)}={number}" for number, text in enumerate(MARKUP)]
    return f"/c/wild/{quote(MARKUP[1].replace('/', ''))}?{'&'.join(pairs)}"


@pytest.fixture
def page(browser: Browser, stage: Stage) -> Iterator[Page]:
    with page_at(browser, stage.address) as found:
        yield found
        is_only_text(found)


def is_only_text(page: Page) -> None:
    assert page.evaluate("window.ran") is None
    assert page.locator("#fake").count() == 0
    assert page.locator("#app script, #app img, #app iframe, #app style").count() == 0
    assert page.locator("body").is_visible()


def test_in_the_table_and_on_the_source_s_own_view(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.address}#sources")
    expect(page.locator("main")).to_contain_text(TITLE)
    page.goto(f"{stage.address}#source=wild")
    click = page.locator("details.event").first
    click.locator("summary").click()
    for text in MARKUP:
        expect(click.locator("pre")).to_contain_text(json.dumps(text, ensure_ascii=False)[1:-1])
    expect(page.locator("main")).to_contain_text(TITLE)


def test_where_a_test_click_is_awaited(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.address}#click=wild")
    expect(page.locator(".waiting")).to_have_attribute("data-watching", "1")
    assert stage.get(target()) == 200
    rows = page.locator("details.click tr.field")
    for number, text in list(enumerate(MARKUP))[1:]:
        field = rows.filter(has=page.get_by_role("rowheader", name=f"q{number}", exact=True))
        assert field.locator("td.value").text_content() == text


def test_where_it_is_explained(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.address}#explain")
    for pasted in (
        target(),
        f"/c/wild?a={MARKUP[0]}",
        f"<h1 id=fake>{MARKUP[1]}",
        f"/{MARKUP[2]}?x={MARKUP[3]}",
    ):
        page.fill("#pasted", pasted)
        page.click("#explain")
        expect(page.locator("#url")).to_be_visible()
        is_only_text(page)
    page.select_option("#what", "wild")
    page.fill("#pasted", json.dumps({"a": list(MARKUP)}))
    page.click("#explain")
    expect(page.locator("main")).to_contain_text("onerror='window.ran=1'")


@pytest.mark.parametrize(
    "fragment", [f"source={quote(MARKUP[0])}", f"click={quote(MARKUP[1])}", "%", "source=%E0%A4%A"]
)
def test_in_the_address_of_the_page(browser: Browser, stage: Stage, fragment: str) -> None:
    with page_at(browser, f"{stage.address}#{fragment}") as page:
        expect(page.locator("#verdict")).to_contain_text("All is well")
        is_only_text(page)


ATTEMPTS = (
    "document.body.innerHTML = '<b>x</b>'",
    "document.write('x')",
    "document.createElement('script').text = 'window.ran = 1'",
    "document.createElement('iframe').srcdoc = '<b>x</b>'",
    "document.body.setAttribute('onclick', 'window.ran = 1')",
)


def test_the_browser_itself_refuses_markup_from_text(browser: Browser, stage: Stage) -> None:
    """The policy is in force: not even a bug in the page could bring markup in."""
    with pytest.raises(AssertionError, match="Trusted"), page_at(browser, stage.address) as page:  # noqa: PT012
        for attempt in ATTEMPTS:
            program = f"() => {{ try {{ {attempt}; return '' }} catch (error) {{ return error.name }} }}"
            assert page.evaluate(program) == "TypeError", attempt
        is_only_text(page)


def test_another_site_may_not_frame_it(browser: Browser, stage: Stage) -> None:
    headers = stage.look("/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
