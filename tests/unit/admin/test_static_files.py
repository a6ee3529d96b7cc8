"""The page's files: what they may do, and that they are served whole."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from ingestd.admin import static_files
from ingestd.http.responses import Reply
from ingestd.sources import link_faults
from ingestd.sources.link_macros import ValueKind
from tests.support.fakes import read_replies

PAGE = Path(static_files.__file__).with_name("page")
FILES = sorted(path for path in PAGE.rglob("*") if path.suffix[1:] in static_files.TYPES)
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
OURS = [path for path in SCRIPTS if path.parent == PAGE]
# Ways from text to markup or code.
FORBIDDEN = (
    r"innerHTML", r"outerHTML", r"insertAdjacentHTML", r"document\.write", r"\beval\(", r"\bnew Function\b",
    r"createContextualFragment", r"DOMParser", r"srcdoc", r"javascript:", r"setHTML",
    r"setAttribute\(\s*[\"'](?:on|style)", r"set(?:Timeout|Interval)\(\s*[\"'`]", r"import\([^)]*[+$]",
)  # fmt: skip


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_text_becomes_markup_or_code(path: Path, pattern: str) -> None:
    assert not re.findall(pattern, path.read_text("utf-8"))


@pytest.mark.parametrize("path", [*OURS, *(PAGE / name for name in ("index.html", "style.css", "icon.svg"))],
                         ids=lambda path: path.name)  # fmt: skip
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    found = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}", text))
    assert found <= {"http://www.w3.org", "https://click.example.com"}
    assert not re.search(r"url\(|@import", text)


def test_the_chart_library_asks_nobody_for_anything() -> None:
    text = (PAGE / "uplot" / "uPlot.js").read_text("utf-8")
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\b|\.src =", text)


def test_the_markup_holds_neither_script_nor_style() -> None:
    text = (PAGE / "index.html").read_text("utf-8")
    assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""]
    assert not re.search(r"<style|\son\w+=|\sstyle=", text)


async def served(path: str) -> tuple[dict[str, str], bytes]:
    reply: Any = await static_files.handlers()[path]("")
    assert isinstance(reply, Reply)
    [received] = read_replies(reply.form(head=False, keep_alive=True))
    assert received.status == 200
    return received.headers, gzip.decompress(received.body)


async def test_every_file_is_served_below_a_name_made_of_their_contents() -> None:
    handlers = static_files.handlers()
    [place] = {match[1] for path in handlers if (match := re.match(r"/(page/[0-9a-f]{12}/)", path))}
    names = {str(path.relative_to(PAGE)) for path in FILES} - {"index.html"}
    assert set(handlers) == {"/"} | {f"/{place}{name}" for name in names}
    for name in names:
        headers, body = await served(f"/{place}{name}")
        assert body == (PAGE / name).read_bytes()
        assert "immutable" in headers["cache-control"]
    headers, body = await served("/")
    assert headers["cache-control"] == "no-cache"
    loaded = set(re.findall(r'(?:href|src)="([^"]+)"', body.decode()))
    assert loaded <= {path[1:] for path in handlers}
    assert loaded


async def test_the_policy_allows_our_own_files_and_nothing_else() -> None:
    headers, _ = await served("/")
    policy = dict(one.strip().partition(" ")[::2] for one in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {value for name, value in policy.items() if name.endswith("-src")} == {"'none'", "'self'"}
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_what_a_script_imports_is_there() -> None:
    for path in SCRIPTS:
        for name in re.findall(r'from "(\./[^"]+)"', path.read_text("utf-8")):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"


def test_the_page_is_small() -> None:
    """A page that is opened over a slow line at night."""
    assert sum(len(gzip.compress(path.read_bytes())) for path in FILES) < 100_000


def dictionary(name: str) -> dict[str, str]:
    """`zh` or `en` of texts.js, whose entries are one `"key": "text"` after another."""
    text = (PAGE / "texts.js").read_text("utf-8")
    body = text.partition(f"const {name} = {{")[2].partition("\n};")[0]
    quoted = r'"(?:[^"\\]|\\.)*"'
    found = {json.loads(key): json.loads(value) for key, value in re.findall(f"({quoted}): ({quoted})", body)}
    assert len(found) > 10
    return found


KEYS = (
    r'\bt\(\s*"([^"]+)"', r'title: "([^"]+)"', r'empty: "([^"]+)"', r'new Chart\("([^"]+)"',
    r'marked\("\w+", "([^"]+)"\)', r'\brow\("([^"]+)"', r'equation\("([^"]+)"',
)  # fmt: skip


def keys() -> set[str]:
    """The keys that scripts ask for in so many words, and the titles of columns and charts."""
    found: set[str] = set()
    for path in OURS:
        text = path.read_text("utf-8")
        for pattern in KEYS:
            found |= set(re.findall(pattern, text))
    return found


def test_every_text_is_there_in_both_languages() -> None:
    chinese, english = dictionary("zh"), dictionary("en")
    assert len(keys()) > 60
    assert keys() - set(chinese) == set()
    assert {key for key in keys() if re.fullmatch(r"\w+\.\w+", key)} - set(english) == set()
    assert set(english) - set(chinese) == set()


def test_the_languages_fill_in_the_same_values() -> None:
    english = dictionary("en")
    for key, text in dictionary("zh").items():
        if key in english or not key.startswith("m."):
            wanted = set(re.findall(r"\{\w+\}", english.get(key, key)))
            assert set(re.findall(r"\{\w+\}", text)) == wanted, key


def test_every_mistake_that_can_be_found_has_chinese_words() -> None:
    source = (PAGE.parent / "url_marks.py").read_text("utf-8")
    codes = {*get_args(link_faults.Kind), *get_args(ValueKind)}
    codes |= set(re.findall(r'Mistake\(\s*"(\w+)"', source)) | set(re.findall(r'else "(\w+)"', source))
    assert len(codes) > 20
    words = {key: text for key, text in dictionary("zh").items() if key.startswith("m.")}
    assert {f"m.{code}" for code in codes} == set(words) - {"m.write", "m.append"}
    assert set(re.findall(r"\{\w+\}", "".join(words.values()))) == {"{param}", "{write}", "{append}"}


def test_the_chart_library_is_named_with_its_version_and_licence() -> None:
    library = PAGE / "uplot"
    assert "MIT" in (library / "LICENSE").read_text()
    version = re.search(r"uPlot ([\d.]+)", (library / "VERSION").read_text())
    assert version is not None
    assert f"v{version[1]}" in (library / "uPlot.js").read_text()[:500]
