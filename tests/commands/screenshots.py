"""Pictures of the status page in the five states of `tests.support.page_states`, to be looked at.

python -m tests.commands.screenshots --out /tmp/pictures --only load
python -m tests.commands.screenshots --readme     # the two of README.md: systemd/pictures/
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import chromium
from tests.support.daemon import ROOT
from tests.support.page_stage import Stage, fresh
from tests.support.page_states import STATES, UNREPLACED
from tests.support.place import open_place

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

README_PICTURES = ROOT / "systemd" / "pictures"
# As the platform's test button sends it; one macro is misspelt in the link, and so is left in.
TEST_CLICK = (
    "/c/kuaishou/app42?accountid=10012345&aid=3344720321&cid=223372032123415808&did=2233720321"
    "&oaid=7f3c9d2b4e5a61708192a3b4c5d6e7f8&ts=1718000000456&ip=223.104.63.12&callback=__CALLBACK__"
)
DARK: dict[str, Any] = {"color_scheme": "dark"}
CHINESE: dict[str, Any] = {"locale": "zh-CN"}
NARROW: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
# State -> picture -> view and the browser's settings.
PICTURES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "idle": {"overview": ("overview", {}), "click": ("click=ocean", {}), "sources": ("sources", {})},
    "load": {
        "overview": ("overview", {}), "overview-dark-zh": ("overview", DARK | CHINESE),
        "overview-narrow": ("overview", NARROW), "sources": ("sources", {}), "source": ("source=ocean", {}),
        "source-dark-zh": ("source=ocean", DARK | CHINESE), "click": ("click=ocean", {}),
        "click-zh": ("click=ocean", CHINESE), "explain": ("explain", {}), "explain-zh": ("explain", CHINESE),
        "conservation": ("conservation", {}), "conservation-narrow-dark": ("conservation", NARROW | DARK),
    },
    "kafka-unreachable": {
        "overview": ("overview", {}), "overview-dark-zh": ("overview", DARK | CHINESE),
        "conservation": ("conservation", {}),
    },
    "disk-full": {"overview": ("overview", {}), "overview-narrow-zh": ("overview", NARROW | CHINESE)},
    "misbehaving": {"overview": ("overview", {}), "sources": ("sources", {}), "source": ("source=ocean", {})},
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("."), help="the directory for the pictures")
    parser.add_argument(
        "--readme", action="store_true", help="only those that README.md shows, to their place"
    )
    parser.add_argument("--only", choices=STATES, action="append", help="this state; may be repeated")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a state has lasted")
    arguments = parser.parse_args()
    if reason := chromium.why_not():
        print(reason, file=sys.stderr)
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    with chromium.chromium() as browser:
        if arguments.readme:
            of_readme(browser, arguments.seconds)
            return 0
        for state in arguments.only or STATES:
            with open_place() as place, STATES[state](place, arguments.seconds) as stage:
                for path in taken(browser, stage, state, arguments.out):
                    print(f"{path} {path.stat().st_size} bytes")
    return 0


def taken(browser: Browser, stage: Stage, state: str, out: Path) -> Iterator[Path]:
    """Every picture of a state."""
    for name, (view, settings) in PICTURES[state].items():
        path = out / f"{state}-{name}.png"
        with chromium.page_at(browser, f"{stage.address}#{view}", **settings) as page:
            page.wait_for_selector("#verdict .says")
            page.wait_for_timeout(2500)
            _prepare(page, stage, view)
            page.screenshot(path=path, full_page=True)
        yield path


def of_readme(browser: Browser, seconds: float) -> None:
    """An hour's worth of look in a minute, and a test click that lacks something."""
    screen: dict[str, Any] = {"viewport": {"width": 1100, "height": 720}}
    README_PICTURES.mkdir(exist_ok=True)
    with (
        open_place() as place,
        STATES["load"](place, seconds) as stage,
        chromium.page_at(browser, stage.address, **screen) as page,
    ):
        page.wait_for_timeout(2500)
        page.screenshot(path=README_PICTURES / "overview.png")
    with (
        open_place() as place,
        STATES["idle"](place) as stage,
        chromium.page_at(browser, f"{stage.address}#click=kuaishou", **screen) as page,
    ):
        page.wait_for_selector("[data-watching]")
        stage.get(fresh(TEST_CLICK, 10**17))
        page.wait_for_selector("details.click")
        page.wait_for_timeout(2500)
        page.screenshot(path=README_PICTURES / "click.png")


def _prepare(page: Page, stage: Stage, view: str) -> None:
    """Do what a person would have done before the picture is worth taking."""
    if view == "explain":
        page.fill("#pasted", f"http://click.example.com{UNREPLACED}&oaid=&x=100%")
        page.click("#explain")
        page.wait_for_selector("#outcome")
    if view.startswith("click") and stage.api("now")["rate"]:
        page.wait_for_selector("details.click")


if __name__ == "__main__":
    sys.exit(main())
