"""A URL in pieces: nothing of it is lost, its credentials are masked, its mistakes are named and placed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestd.admin import url_marks
from ingestd.admin.url_marks import marked, pieces
from ingestd.config.source import SourceConfig
from ingestd.sources import links
from tests.support.fakes import make_source

BASE = "https://click.example.com"


def source(**keys: Any) -> SourceConfig:
    return make_source(**{"name": "demo", "path": "/c/demo", **keys}).config


OCEAN = source(profile="ocean")


def codes(query: bytes, of: SourceConfig = OCEAN) -> set[tuple[str, str]]:
    return {(one["code"], one["param"]) for one in marked(b"/c/demo?" + query, [of], BASE)["mistakes"]}


def test_each_piece_has_its_kind() -> None:
    url = "https://click.example.com/c/demo/app?imei=__IMEI__&token=t0p&oaid=&os=1&flag"
    assert [(piece.kind, piece.text) for piece in pieces(url, source())] == [
        ("base", "https://click.example.com"), ("path", "/c/demo/app"), ("mark", "?"),
        ("name", "imei"), ("mark", "="), ("macro", "__IMEI__"), ("mark", "&"),
        ("name", "token"), ("mark", "="), ("secret", "***"), ("mark", "&"),
        ("name", "oaid"), ("empty", "="), ("mark", "&"),
        ("name", "os"), ("mark", "="), ("value", "1"), ("mark", "&"), ("name", "flag"),
    ]  # fmt: skip


@given(
    st.text(st.sampled_from("abc=&?/%_{}#+ 中\x00;"), max_size=40),
    st.sampled_from(["/c/demo?", "http://h/", "", "?"]),
)
def test_the_pieces_together_are_the_url(text: str, before: str) -> None:
    assert "".join(piece.text for piece in pieces(before + text, None)) == before + text


@given(st.binary(max_size=60))
def test_any_bytes_can_be_taken_apart(data: bytes) -> None:
    found = marked(data, [OCEAN], BASE)
    orjson.dumps(found)


def test_bytes_that_are_not_text_are_shown_escaped() -> None:
    found = marked(b"/c/demo?n=\xd6\xd0", [OCEAN], BASE)
    assert ("\\xd6\\xd0", "value") in [piece[:2] for piece in found["pieces"]]


def test_a_token_in_the_path_is_masked() -> None:
    signature = source().signature.model_copy(update={"kind": "token", "place": "path", "key_file": ("k",)})
    settings = source().model_copy(update={"signature": signature})
    assert pieces("/c/demo/s3cret/app?a=1", settings)[0].text == "/c/demo/***/app"
    assert pieces("/c/demo", settings)[0].text == "/c/demo"


def test_a_flood_of_parameters_is_cut() -> None:
    assert len(pieces("/c/demo?" + "a=1&" * 8000, source())) <= 4 * url_marks.MAX_PAIRS + 3


@pytest.mark.parametrize(
    ("query", "mistake"),
    [
        (b"ts=__TS__&os=1&callback_param=x", ("macro_needed", "ts")),
        (b"ts=1718000000&imei=__IMEI__", ("macro", "imei")),
        (b"ts=1718000000&callback_param=", ("empty_needed", "callback_param")),
        (b"ts=1718000000", ("missing", "callback_param")),
        (b"TS=1718000000", ("name", "TS")),
        (b"ts=1718000000&a=100%", ("percent", "")),
        (b"ts=1718000000&a=%25E4%25B8%25AD", ("escaped_twice", "a")),
        (b"ts=1718000000&a=%d6%d0", ("not_utf8", "a")),
        (b"ts=1718000000&amp;b=2", ("html", "")),
        (b"ts=1718000000?b=2", ("question", "")),
        (b"ts=1718000000#top", ("fragment", "")),
        (b"ts=1718000000&a=b c", ("character", "")),
    ],
)
def test_the_usual_mistakes_are_named(query: bytes, mistake: tuple[str, str]) -> None:
    assert mistake in codes(query)


def test_a_mistake_s_number_stands_at_its_piece() -> None:
    found = marked(b"/c/demo?ts=1718000000&callback_param=x&imei=__IMEI__&a=100%", [OCEAN], BASE)
    numbers = {(text, kind): at for text, kind, at in found["pieces"]}
    assert [found["mistakes"][at]["code"] for at in numbers["__IMEI__", "macro"]] == ["macro"]
    assert [found["mistakes"][at]["code"] for at in numbers["100%", "value"]] == ["percent"]
    assert numbers["1718000000", "value"] == []


def test_what_is_missing_stands_at_no_piece() -> None:
    found = marked(b"/c/demo?ts=1718000000", [OCEAN], BASE)
    [number] = [number for number, one in enumerate(found["mistakes"]) if one["code"] == "missing"]
    assert not any(number in numbers for _, _, numbers in found["pieces"])
    assert found["mistakes"][number]["append"] == "callback_param=__CALLBACK_PARAM__"


def test_a_right_link_s_click_has_no_mistake() -> None:
    query = "&".join(f"{name}=1234567" for name in OCEAN.link if name != "sign")
    assert codes(query.encode()) == set()


def test_a_tracking_link_is_judged_as_one_and_corrected() -> None:
    link = links.link(OCEAN, BASE, "app42")
    assert marked(link.encode(), [OCEAN], BASE)["mistakes"] == []
    wrong = link.replace("https://", "http://").replace("__CALLBACK_PARAM__", "_CALLBACK_PARAM_")
    found = marked(wrong.encode(), [OCEAN], BASE)
    assert found["link"]
    assert {one["code"] for one in found["mistakes"]} == {"scheme", "misspelt"}
    assert found["corrected"] == link


def test_a_path_no_source_takes_is_judged_by_the_nearest() -> None:
    found = marked(
        b"/c/dmeo?ts=1718000000&callback_param=x", [OCEAN, source(name="x", path="/p/other")], BASE
    )
    assert [(one["code"], one["write"]) for one in found["mistakes"]] == [("path", "/c/demo")]


def test_no_mistake_tells_a_credential() -> None:
    signature = OCEAN.signature.model_copy(update={"key_file": ("k",)})
    signed = OCEAN.model_copy(update={"signature": signature})
    query = b"ts=1718000000&callback_param=s3cret&sign=0ede828d475a87fce7c2e5319a7dd22a&os=1"
    found = orjson.dumps(marked(b"/c/demo?" + query, [signed], BASE))
    assert b'"last"' in found
    assert b"0ede82" not in found
    assert b"s3cret" not in found
