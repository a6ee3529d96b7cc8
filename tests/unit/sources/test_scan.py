"""The compiled scan of a query finds what the general path finds, and what decoding by the book does."""

from __future__ import annotations

import importlib.resources
import json
import random
import re
import sys
from math import inf
from pathlib import Path
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.sources.query import Scanned
from tests.commands import fuzz_scan
from tests.commands.fuzz_scan import MAX_PAIRS, Scan, by_the_general_path, has_edges
from tests.support import compiled

EXAMPLES = json.loads(importlib.resources.files("ingestd").joinpath("data/callbacks.json").read_text("utf-8"))
QUERIES = {name: urlsplit(url).query.encode() for name, url in EXAMPLES["callbacks"].items()}
REPEATING = "weibo"  # this platform's own template has one name twice

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """The extension, built from the source as it is now: what is installed may be older."""
    return fuzz_scan.built_or_skip(tmp_path_factory.mktemp("scan"))


@pytest.fixture(params=["native", "general"])
def scan(request: pytest.FixtureRequest) -> Scan:
    """The scan, and its model: what holds for the one must hold for the other."""
    if request.param == "general":
        return by_the_general_path
    compiled: Scan = request.getfixturevalue("native")
    return compiled


def by_the_book(query: bytes, wanted: tuple[bytes, ...] = ()) -> Scanned | None:
    """The same by the standard library, piece by piece."""
    pairs = [pair.partition(b"=") for pair in query.split(b"&")] if query else []
    if _BAD_ESCAPE.search(query) or len(pairs) > MAX_PAIRS or not all(equals for _, equals, _ in pairs):
        return None
    params = {}
    for name, _, value in pairs:
        try:
            params[_text(name)] = _text(value)
        except UnicodeDecodeError:
            return None
    if len(params) < len(pairs):
        return None
    by_bytes = {name.encode(): value for name, value in params.items()}
    likely = [(name, value) for name, value in params.items() if has_edges(value)]
    return orjson.dumps(params), tuple(by_bytes.get(name) for name in wanted), tuple(likely)


def _text(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode()


def both_agree(native: Scan, query: bytes, wanted: tuple[bytes, ...] = ()) -> Scanned | None:
    result = by_the_book(query, wanted)
    assert native(query, wanted) == result
    assert by_the_general_path(query, wanted) == result
    return result


@pytest.mark.parametrize("name", QUERIES)
def test_an_example_callback_becomes_what_urllib_and_orjson_make_of_it(native: Scan, name: str) -> None:
    query = QUERIES[name]
    pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True)
    wanted = tuple(key.encode() for key, _ in pairs)
    result = both_agree(native, query, wanted)
    if name == REPEATING:
        assert result is None
    else:
        assert result is not None
        assert result[:2] == (orjson.dumps(dict(pairs)), tuple(value for _, value in pairs))


def test_unreplaced_macros_of_an_example_are_candidates(scan: Scan) -> None:
    result = scan(QUERIES["bilibili"], ())
    assert result is not None
    assert dict(result[2]) == {"imei": "__IMEI__", "oaid": "__OAID__", "mac": "__MAC1__", "ip": "__IP__"}


@pytest.mark.parametrize(
    ("query", "encoded"),
    [
        (b"", b"{}"),
        (b"=", b'{"":""}'),
        (b"a=", b'{"a":""}'),
        (b"a=b=c", b'{"a":"b=c"}'),
        (b"a=1+2%2B3", b'{"a":"1 2+3"}'),
        (b"a=%2525", b'{"a":"%25"}'),
        (b"a%3Db=1%262", b'{"a=b":"1&2"}'),
        (b"a=%22%5C/%08%09%0a%0C%0d%00%1f%7f", b'{"a":"\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f\x7f"}'),
        (b"a=\x00\x1f\x7f", b'{"a":"\\u0000\\u001f\x7f"}'),
        ("名=值&b=%e5%80%bc".encode(), '{"名":"值","b":"值"}'.encode()),
        (b"a=\xe5%80\xbc", '{"a":"值"}'.encode()),
        (b"a=1;b=3#frag", b'{"a":"1;b=3#frag"}'),
    ],
)
def test_a_clean_query_becomes_json(scan: Scan, query: bytes, encoded: bytes) -> None:
    result = scan(query, ())
    assert result is not None
    assert result[0] == encoded == orjson.dumps(orjson.loads(encoded))


@pytest.mark.parametrize(
    "query",
    [
        *(b"&", b"a=1&", b"&a=1", b"a=1&&b=2", b"a", b"a&b=1", b"b=1&a", b"%3D"),
        *(b"a=%", b"a=%2", b"a=%zz", b"a=%1g", b"a=100%&b=1", b"%=1", b"a=%%41", b"a=% 41", b"a=%+1"),
        *(b"a=1&a=2", b"a=1&b=2&%61=3", b"=1&=2", b"a+b=1&a%20b=2", "é=1&%C3%A9=2".encode()),
        *(b"a=\xff", b"a=%ff", b"\xfe=1", b"%fe=1", b"a%FE1", b"a=1%FFb=2", b"a=\xd6\xd0\xb9\xfa"),
    ],
)  # fmt: skip
def test_a_query_that_is_not_clean_is_left_to_the_general_path(scan: Scan, query: bytes) -> None:
    assert scan(query, (b"a",)) is None


def test_every_byte_raw_and_escaped_at_every_place_of_a_block(native: Scan) -> None:
    for byte in range(256):
        for form in (bytes([byte]), b"%%%02x" % byte, b"%%%02X" % byte):
            for before in range(18):
                both_agree(native, b"a=" + b"x" * before + form + b"y" * 17 + b"&b=" + form)
                both_agree(native, b"x" * before + form + b"=1")


def test_utf8_is_as_strict_as_in_python(native: Scan) -> None:
    seconds = (0x00, 0x25, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    clean = 0
    for lead in range(0x80, 0x100):
        for second in seconds:
            for rest in (
                b"",
                b"\x80",
                b"\xbf",
                b"\x7f",
                b"\x80\x80",
                b"\xbf\xc0",
                b"\xbf\xbf",
                b"\x80\x80\x80",
            ):
                character = bytes([lead, second]) + rest
                escaped = b"".join(b"%%%02x" % byte for byte in character)
                clean += both_agree(native, b"a=" + escaped) is not None
                clean += (
                    both_agree(native, b"a=" + escaped[:3] + character[1:].replace(b"%", b"%25")) is not None
                )
    assert clean > 1000


@pytest.mark.parametrize("count", [1, MAX_PAIRS - 1, MAX_PAIRS, MAX_PAIRS + 1, 5000])
def test_the_number_of_pairs_is_bounded(scan: Scan, count: int) -> None:
    query = b"&".join(b"n%d=%d" % (number, number) for number in range(count))
    result = scan(query, (b"n0", b"n%d" % (count - 1)))
    if count > MAX_PAIRS:
        assert result is None
    else:
        assert result is not None
        assert result[:2] == (orjson.dumps({f"n{n}": str(n) for n in range(count)}), ("0", str(count - 1)))


def test_a_repeated_name_is_found_wherever_it_stands(scan: Scan) -> None:
    names = [b"p%d" % number for number in range(40)]
    for first in range(40):
        for second in range(first + 1, 40):
            twice = [names[first] if number == second else name for number, name in enumerate(names)]
            assert scan(b"&".join(name + b"=" for name in twice), ()) is None


def test_wanted_values_are_found_by_decoded_name(scan: Scan) -> None:
    query = b"a=1&q%22t=%22&%E4%BD%A0=%e4%bd%a0&=e&" + b"long" * 20 + b"=L&" + b"long" * 19 + b"gnol=M"
    wanted = (
        b'q"t',
        b"absent",
        "你".encode(),
        b"",
        b"a",
        b"a",
        b"q%22t",
        b"\xe4\xbd",
        b"long" * 20,
        b"long" * 21,
    )
    result = scan(query, wanted)
    assert result is not None
    assert result[1] == ('"', None, "你", "e", "1", "1", None, None, "L", None)


def test_two_names_of_one_hash_are_never_mistaken_for_one_another(native: Scan) -> None:
    first, second = _of_one_hash()
    assert native(first + b"=1", (first, second)) == by_the_book(first + b"=1", (first, second))
    # left to the general path: None is always right
    assert native(first + b"=1&" + second + b"=2", ()) is None
    assert by_the_general_path(first + b"=1&" + second + b"=2", ()) is not None


def _of_one_hash() -> tuple[bytes, bytes]:
    """Two names that `hash_of` in _scan.c cannot tell apart: what their first halves differ by, the second
    halves make up for. Most such names are not ASCII, so several are tried.
    """

    def first_half(name: bytes) -> int:
        odd = 0x9E3779B97F4A7C15
        mixed = ((len(name) * odd ^ int.from_bytes(name[:8], sys.byteorder)) * odd) & (1 << 64) - 1
        return mixed ^ mixed >> 32

    first = b"callback" + b"--------"
    rng = random.Random(1)
    for _ in range(100_000):
        half = bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz_", k=8))
        difference = (
            first_half(first) ^ first_half(half + bytes(8)) ^ int.from_bytes(first[8:], sys.byteorder)
        )
        second = half + difference.to_bytes(8, sys.byteorder)
        if second.isascii() and not re.search(rb"[&=%+]", second):
            return first, second
    raise AssertionError("no such names")


@pytest.mark.parametrize("first", "_{$[%@a]!")
@pytest.mark.parametrize("last", '_}$]%@!a[\\"\n')
@pytest.mark.parametrize("middle", ["", "x", '"', "你", "long enough for a block"])
def test_what_begins_and_ends_like_a_macro_is_a_candidate(
    native: Scan, first: str, last: str, middle: str
) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in f"{first}{middle}{last}".encode()).encode()
    result = both_agree(native, b"a=1&%22m=" + escaped + b"&b=%")
    assert result is None
    result = both_agree(native, b"a=1&%22m=" + escaped + b"&b=_")
    assert result is not None
    likely = first in "_{$[%@" and last in "_}$]%@!" and bool(middle)
    assert result[2] == ((('"m', first + middle + last),) if likely else ())


@pytest.mark.parametrize("filler", [b"x", b"\x01", b"%01", b"%E4%BD%A0", b"=", b'"'])
@pytest.mark.parametrize("size", [100, 4000, 2 << 20])
def test_a_long_value_grows_sixfold_without_harm(native: Scan, filler: bytes, size: int) -> None:
    value = filler * (size // len(filler))
    assert both_agree(native, b"a=" + value + b"&b=[" + value + b"]", (b"a", b"b")) is not None


@pytest.mark.parametrize(
    "arguments", [(), (b"a=1",), ("a=1", ()), (b"", [b"a"]), (b"", ("a",)), (b"", (), 1)]
)
def test_arguments_of_the_wrong_kind_are_a_type_error(native: Scan, arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        native(*arguments)  # type: ignore[arg-type]


# Hypothesis: pieces a query is made of, the odd ones among them, and any bytes at all.
PIECES = st.one_of(
    st.sampled_from([b"%", b"+", b"&", b"=", b"%25", b"%2", b"__X__", b'"', b"\\", b"a", b"\x00"]),
    st.integers(0, 255).map(lambda byte: b"%%%02X" % byte),
    st.text(max_size=3).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.characters(codec="utf-8").map(lambda c: "".join(f"%{byte:02x}" for byte in c.encode()).encode()),
    st.binary(max_size=3),
)
PARAMS = st.dictionaries(st.text(max_size=12), st.text(max_size=40), max_size=20)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=20).map(b"".join))
def test_any_query_of_odd_pieces_agrees(native: Scan, query: bytes) -> None:
    both_agree(native, query, (b"a", b"", b"__X__"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_agree(native: Scan, query: bytes) -> None:
    both_agree(native, query, (query[:1],))


@settings(max_examples=300, deadline=None)
@given(PARAMS, st.randoms(use_true_random=False))
def test_clean_parameters_come_back_however_they_are_spelled(
    native: Scan, params: dict[str, str], rng: random.Random
) -> None:
    def spelled(text: str) -> str:
        plain = [c if c not in "%&+= " and rng.random() < 0.5 else None for c in text]
        return "".join(
            c or ("+" if was == " " else "".join(f"%{byte:02X}" for byte in was.encode()))
            for c, was in zip(plain, text, strict=True)
        )

    query = "&".join(f"{spelled(name)}={spelled(value)}" for name, value in params.items())
    assert dict(parse_qsl(query, keep_blank_values=True)) == params
    result = both_agree(native, query.encode(), tuple(name.encode() for name in params))
    assert result is not None
    assert result[:2] == (orjson.dumps(params), tuple(params.values()))


def test_made_up_queries_agree_in_every_variant(tmp_path: Path, native: Scan) -> None:
    for flags in fuzz_scan.VARIANTS.values():
        module = compiled.load(compiled.build(fuzz_scan.SOURCE, tmp_path, *flags))
        count, clean = compiled.compare(fuzz_scan.PART, module, random.Random(7), seconds=inf, at_most=5000)
        assert count == 5000
        assert clean > 1000
