"""Pictures of the status page in the five states of `tests.support.page_states`, to be looked at.

python -m tests.commands.screenshots --out /tmp/pictures --only load
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import chromium
from tests.support.page_stage import Stage
from tests.support.page_states import STATES, UNREPLACED
from tests.support.place import open_place

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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
    parser.add_argument("--out", type=Path, required=True, help="the directory for the pictures")
    parser.add_argument("--only", choices=STATES, action="append", help="this state; may be repeated")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a state has lasted")
    arguments = parser.parse_args()
    if reason := chromium.why_not():
        print(reason, file=sys.stderr)
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    with chromium.chromium() as browser:
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
