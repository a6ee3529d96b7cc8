"""Decoding a query: as the standard library does where it is valid, never an exception where it is not."""

from __future__ import annotations

import itertools
import re
from urllib.parse import parse_qsl, quote_plus, unquote_to_bytes

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestd.sources import query
from ingestd.sources.query import Decoded, decode

Pairs = list[tuple[str, str]]

BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
SYMBOLS = [b"a", b"=", b"&", b"%", b"%41", b"%26", b"%D6", b"%E4%BD%A0", b"+", b"4", b"\xd6", b"%5C", b"%22"]

any_query = st.one_of(
    st.binary(max_size=100),
    st.lists(st.sampled_from(SYMBOLS), max_size=20).map(b"".join),
    st.text(max_size=60).map(str.encode),
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
valid_pairs = st.lists(st.tuples(text, text), max_size=12)


def pairs_of(decoded: Decoded) -> Pairs:
    """The parameters as pairs, name by name."""
    return [
        (name, one)
        for name, value in decoded.params.items()
        for one in (value if isinstance(value, list) else [value])
    ]


def gathered(pairs: Pairs) -> Pairs:
    """Pairs in the order their names first came, the values of a name in theirs."""
    order = {name: number for number, (name, _) in reversed(list(enumerate(pairs)))}
    return sorted(pairs, key=lambda pair: order[pair[0]])


def expected(raw: bytes) -> tuple[Pairs, set[str], bool]:
    """The same, thought out anew and slowly: pairs, flags, whether anything was lost."""
    pairs: Pairs = []
    flags: set[str] = set()
    lossy = False
    for pair in raw.split(b"&") if raw else []:
        if not pair:
            lossy = True
            continue
        name, equals, value = pair.partition(b"=")
        lossy |= not equals
        for part in (name, value):
            if BAD_ESCAPE.search(part):
                flags.add("bad_percent")
            try:
                unquote_to_bytes(part).decode("utf-8")
            except UnicodeDecodeError:
                flags.add("bad_utf8")
        both = [
            unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8", "replace") for part in (name, value)
        ]
        pairs.append((both[0], both[1]))
    return gathered(pairs), flags, lossy or bool(flags)


def assert_right(raw: bytes) -> Decoded:
    decoded = decode(raw)
    pairs, flags, lossy = expected(raw)
    assert pairs_of(decoded) == pairs
    assert set(decoded.flags) == flags
    assert decoded.lossy is lossy
    assert orjson.loads(decoded.encoded) == decoded.params
    return decoded


@given(any_query)
@example(b"")
@example(b"&")
@example(b"=")
@example(b"a&&b=1")
@example(b"a=%EF%BF%BD")
@example(b"%EF%BF%BD=%D6")
@example(b'a=%22\\&b="')
@example(b"a=1&a=2;b=3&&=&c")
@example(b"n=\xd6\xd0\xb9\xfa")
@example(b"imei=%IMEI%&n=100%&p=%zz")
@example(b"a=%00&b=%0a")
def test_any_bytes_give_one_right_result_and_never_an_exception(raw: bytes) -> None:
    assert_right(raw)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_every_short_query_of_odd_pieces_is_decoded_right(length: int) -> None:
    for pieces in itertools.product(SYMBOLS, repeat=length):
        assert_right(b"".join(pieces))


@given(valid_pairs)
@example([("a", ""), ("a", "1"), ("", "x"), ("b", ""), ("a", "2")])
def test_a_valid_query_is_decoded_as_the_standard_library_does(pairs: Pairs) -> None:
    raw = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    decoded = decode(raw.encode())
    assert pairs_of(decoded) == gathered(parse_qsl(raw, keep_blank_values=True))
    assert (decoded.flags, decoded.lossy) == ((), False)


@given(any_query)
def test_a_query_that_lost_nothing_can_be_had_back(raw: bytes) -> None:
    decoded = decode(raw)
    if decoded.lossy or any(isinstance(value, list) for value in decoded.params.values()):
        return  # the event keeps the query itself; or the order among several names is not told
    again = b"&".join(
        quote_plus(name).encode() + b"=" + quote_plus(value).encode() for name, value in pairs_of(decoded)
    )
    assert [unquote_to_bytes(pair.replace(b"+", b" ")) for pair in again.split(b"&")] == [
        unquote_to_bytes(pair.replace(b"+", b" ")) for pair in raw.split(b"&")
    ]


@given(any_query)
def test_decoding_and_the_general_path_agree(raw: bytes) -> None:
    if not raw:
        return
    found, general = decode(raw), query.general_path(raw)
    assert found == general
    assert list(found.params) == list(general.params)  # in their order, too


@pytest.mark.parametrize(
    ("raw", "params"),
    [
        (b"a=1&a=2&b=&a=3", {"a": ["1", "2", "3"], "b": ""}),
        (b"oaid=", {"oaid": ""}),
        (b"q=a+b%20c%2Bd", {"q": "a b c+d"}),
        (b"q=%252B", {"q": "%2B"}),  # decoded once, whatever it was before
        (b"a=b=c", {"a": "b=c"}),
        (b"cid=9223372036854775808", {"cid": "9223372036854775808"}),  # a string, and every digit of it
        (b"devicetype=iPhone7,2", {"devicetype": "iPhone7,2"}),
        (b"m=1_mark_ad:8|1_16", {"m": "1_mark_ad:8|1_16"}),
        (b"a=1;b=2", {"a": "1;b=2"}),
        (b"name=%E7%82%B9%E5%87%BB", {"name": "点击"}),
        ("name=点击".encode(), {"name": "点击"}),
    ],
)
def test_what_platforms_send_is_decoded_as_they_mean_it(raw: bytes, params: dict[str, object]) -> None:
    assert (decode(raw).params, decode(raw).lossy) == (params, False)


@pytest.mark.parametrize(
    ("raw", "params", "flags"),
    [
        (b"n=\xd6\xd0\xb9\xfa", {"n": "\ufffd\u0439\ufffd"}, ("bad_utf8",)),
        (b"n=%D6%D0", {"n": "\ufffd\ufffd"}, ("bad_utf8",)),
        (b"n=100%", {"n": "100%"}, ("bad_percent",)),
        (b"imei=%IMEI%", {"imei": "%IMEI%"}, ("bad_percent",)),
        (b"a=%zz&b=%D6", {"a": "%zz", "b": "\ufffd"}, ("bad_percent", "bad_utf8")),
        (b"a", {"a": ""}, ()),
        (b"a=1&&b=2", {"a": "1", "b": "2"}, ()),
        (b"=", {"": ""}, None),
    ],
)
def test_what_is_odd_is_kept_as_it_can_be_and_said_so(
    raw: bytes, params: dict[str, object], flags: tuple[str, ...] | None
) -> None:
    decoded = decode(raw)
    if flags is None:
        assert (decoded.params, decoded.lossy) == (params, False)
    else:
        assert (len(decoded.params), decoded.flags, decoded.lossy) == (len(params), flags, True)


@given(valid_pairs, valid_pairs)
def test_a_form_adds_its_values_behind_those_of_the_query(first: Pairs, second: Pairs) -> None:
    def params(pairs: Pairs) -> Decoded:
        return decode("&".join(f"{quote_plus(n)}={quote_plus(v)}" for n, v in pairs).encode())

    before = orjson.dumps(params(first).params)
    both = query.merged(params(first).params, params(second).params)
    assert pairs_of(Decoded(both, b"", (), False)) == gathered([*first, *second])
    assert orjson.dumps(params(first).params) == before  # what came first is not written to
