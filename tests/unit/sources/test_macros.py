"""Macros a platform left in: whole values only."""

from __future__ import annotations

from urllib.parse import quote

import orjson
import pytest

from ingestd.sources import macros
from tests.support.fakes import headers, make_source, request_for, taken

MACROS = [example for form in macros.FORMS for example in form.examples]
NO_MACROS = [
    "", "IMEI", "__", "____", "__IMEI", "IMEI__", "x__IMEI__", "__IMEI__x", "{}", "{1}", "{a b}", '{"a":1}',
    "[1,2]", '["a"]', "[]", "[null]", "[true]", "[object Object]", "$", "$$", "$5", "100%", "%41%", "%",
    "%%", "%ad%", "@", "@@", "@a", "a@b.example", "!a!", "_x_", "_",
    "{B1D2E3F4-0000-4111-8222-333344445555}", "{b1d2e3f4-a000-4111-8222-333344445555}",
    "https://a.example/?atype={{ATYPE}}&value={{AVALUE}}", "__IMEI__,__OAID__", "__" + "A" * 125 + "__",
]  # fmt: skip


def flags(raw: bytes) -> list[str]:
    """The flags of the event a query becomes."""
    source = make_source()
    data = taken(source, request_for(raw)).data
    found = orjson.loads(data)["flags"]
    assert sorted(name.removeprefix("macro:") for name in found if name.startswith("macro:")) == sorted(
        source.counters.macros
    )
    return [flag for flag in found if flag.startswith("macro:")]


@pytest.mark.parametrize("value", MACROS)
def test_a_macro_left_in_is_known(value: str) -> None:
    assert macros.is_macro(value)
    assert macros.find({"a": "1", "b": value, "c": ["x", value]}) == ["b", "c"]


@pytest.mark.parametrize("value", NO_MACROS)
def test_what_only_looks_like_one_is_no_macro(value: str) -> None:
    assert not macros.is_macro(value)
    assert macros.find({"a": value, "b": [value]}) == []


@pytest.mark.parametrize("value", [None, 5, ["__IMEI__"], {"__IMEI__": 1}, True])
def test_only_text_is_a_macro(value: object) -> None:
    assert not macros.is_macro(value)


@pytest.mark.parametrize("value", MACROS)
def test_an_event_says_which_parameters_hold_one(value: str) -> None:
    assert flags(b"a=1&imei=" + value.encode() + b"&b=2") == ["macro:imei"]


@pytest.mark.parametrize("value", MACROS)
def test_an_event_says_so_also_where_it_came_escaped(value: str) -> None:
    assert flags(b"imei=" + quote(value, safe="").encode() + b"&b=2") == ["macro:imei"]
    every = "".join(f"%{ord(one):02X}" for one in value)
    assert flags(b"imei=" + every.encode()) == ["macro:imei"]
    assert flags(b"imei=" + every.lower().encode()) == ["macro:imei"]


@pytest.mark.parametrize("value", NO_MACROS)
def test_an_event_without_any_says_nothing(value: str) -> None:
    assert flags(b"a=1&imei=" + quote(value, safe="").encode()) == []


@pytest.mark.parametrize("value", [one for one in MACROS if one.startswith("%") and "{" not in one])
def test_a_macro_between_percent_signs_is_not_taken_for_an_escape(value: str) -> None:
    """`%CA` of `%CAMPAIGN_ID%` is the escape of a byte; the value stays as it came, and so does the query."""
    source = make_source()
    raw = f"n=1&campaign={value}".encode()
    event = orjson.loads(taken(source, request_for(raw)).data)
    assert event["params"]["campaign"] == value
    assert event["flags"] == ["bad_percent", "macro:campaign"]
    assert event["raw"] == raw.decode()


def test_a_repeated_parameter_is_looked_at_in_all_its_values() -> None:
    assert flags(b"a=1&a=__IMEI__&a=2") == ["macro:a"]


def test_the_value_stays_as_it_came() -> None:
    source = make_source()
    data = taken(source, request_for(b"imei=__IMEI__")).data
    assert orjson.loads(data)["params"] == {"imei": "__IMEI__"}


def test_macros_in_a_body_are_known_too() -> None:
    source = make_source()
    fields = headers(Content_Type="application/json")
    body = b'[{"imei": "__IMEI__", "n": 1}, {"imei": "86"}]'
    data = taken(source, request_for(b"", fields, body)).data
    assert [orjson.loads(line)["flags"] for line in data.splitlines()] == [["macro:imei"], []]


def test_names_from_outside_take_bounded_memory() -> None:
    source = make_source()
    for number in range(1000):
        raw = b"p%d=__IMEI__" % number
        taken(source, request_for(raw))
    assert len(source.counters.macros) <= 65
    assert sum(source.counters.macros.values()) == 1000


def test_a_name_too_long_for_a_label_counts_among_the_others() -> None:
    source = make_source()
    name = b"p" * 30_000
    data = taken(source, request_for(name + b"=__X__")).data
    assert source.counters.macros == {"other": 1}
    assert orjson.loads(data)["flags"] == ["macro:" + name.decode()]


def test_values_from_outside_take_bounded_memory() -> None:
    macros._known.clear()
    values = [f"__X{number}__" for number in range(3 * macros.MAX_KNOWN)]
    assert all(macros.is_macro(value) for value in values)
    assert len(macros._known) <= macros.MAX_KNOWN
    assert all(macros.is_macro(value) for value in values), "known or forgotten, they are macros"
