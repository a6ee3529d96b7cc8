"""A usual event's line made in C is, but for its id, the one that the general path in Python makes."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from functools import partial
from math import inf
from pathlib import Path
from types import ModuleType
from urllib.parse import quote
from uuid import RFC_4122, UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestd.sources import macros
from ingestd.sources.encoder import MAX_FRAME_PATH, MAX_FRAMES, Frames
from tests.commands import fuzz_line
from tests.commands.fuzz_line import CONFIGURATIONS, Asked, Twins
from tests.support import compiled
from tests.support.desk import NOW_MS, secret
from tests.support.queries import QUERY

NOW_NS = NOW_MS * 1_000_000
HEADER = st.one_of(st.just(b""), st.binary(max_size=60), st.text(max_size=30).map(str.encode))
# Names the configurations know, so that they come again; values that mean something, or may.
NAME = st.sampled_from(["a", "b", "ts", "q%22t", "%E4%BD%A0", "ip", "c+d", "absent", "%61"])
VALUE = st.one_of(
    st.sampled_from(fuzz_line.TIMES),
    st.sampled_from(fuzz_line.FILLERS),
    st.lists(st.sampled_from(fuzz_line.MACROS), max_size=6).map("".join),
    st.text(max_size=12).map(partial(quote, safe="", errors="replace")),
)
PAIRS = st.lists(st.tuples(NAME, VALUE).map("=".join), max_size=12).map("&".join).map(str.encode)
ODD_PATH = st.binary(max_size=40).map(lambda path: b"/c/" + path.replace(b"?", b""))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The extension, built from the source as it is now: what is installed may be older."""
    return compiled.built_or_skip(fuzz_line.SOURCE, tmp_path_factory.mktemp("line"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys")
    secret(path, "k", "test-key")
    return path


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def twins(request: pytest.FixtureRequest, module: ModuleType, place: Path) -> Twins:
    return Twins(CONFIGURATIONS[request.param], module, place)


@pytest.fixture(scope="module")
def plain(module: ModuleType, place: Path) -> Twins:
    return Twins("", module, place)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(PAIRS, QUERY))
def test_any_query_makes_the_same_line_in_every_configuration(twins: Twins, query: bytes) -> None:
    """The counters are the same, too: see Twins.compare."""
    twins.compare(Asked(query))


@settings(deadline=None)
@given(PAIRS, ODD_PATH, HEADER, HEADER, HEADER)
def test_any_path_and_headers_make_the_same_line(
    plain: Twins, query: bytes, path: bytes, forwarded: bytes, agent: bytes, client: bytes
) -> None:
    """What is all ASCII is made in C, whatever control characters are in it; what is not goes with care."""
    ascii_only = (path + forwarded + agent + client).isascii()
    asked = Asked(query, path, forwarded, agent, client.decode("latin-1"))
    assert plain.compare(asked) == ascii_only


def test_made_up_requests_make_the_same_lines(module: ModuleType) -> None:
    """The other variants of the build are for the sanitizers, in tests/unit/sources/test_line_build.py."""
    count, usual = compiled.compare(fuzz_line.PART, module, random.Random(7), seconds=inf, at_most=2000)
    assert count / 3 < usual < count  # both ways were tried


@pytest.mark.parametrize("query", [
    b"", b"a=", b"a=1&a=2&b=3&a=__X__", b"=", b"a=%22&a=%5C", b"ts=1718000000&ts=x", b"%00=%01", b"a=\x00",
    b"ts=" + b"1" * 15, b"a=" + b"x" * 20_000, b"a=" + b"%01" * 5000, b"%01" * 5000 + b"=__X__",
    b"&".join([b"a=__X__"] * 256), b"&".join(b"n%d=%%22" % number for number in range(256)),
    b"b=NULL", b"a=%61&b=%62&absent=",
])  # fmt: skip
def test_what_is_clean_is_made_in_c(twins: Twins, query: bytes) -> None:
    """Long ones, many pairs, repeated names, empty texts and NUL bytes included."""
    assert twins.compare(Asked(query))


@pytest.mark.parametrize("query", [
    b"a", b"a=1&", b"&a=1", b"a=%", b"a=%zz", b"a=%ff", b"\xff=1", b"a=\xd6\xd0", b"&".join([b"a=1"] * 257),
    *(b"a=" + value.encode() for value in fuzz_line.RAW_MACROS),
])  # fmt: skip
def test_what_is_odd_is_left_to_the_general_path(twins: Twins, query: bytes) -> None:
    assert not twins.compare(Asked(query))


def test_a_body_or_a_method_unheard_of_is_left_to_the_general_path_or_made_alike(plain: Twins) -> None:
    assert not plain.compare(Asked(b"a=1", method=b"POST", body=b'{"b":1}'))
    assert plain.compare(Asked(b"a=1", method=b"POST"))


@pytest.mark.parametrize("value", [
    "1 718", "1718000000%20", "%201718000000", "+1718000000", "1_718_000_000", "-1", "9" * 16,
    "%EF%BC%91", "1718000000%0A",
])  # fmt: skip
def test_a_time_that_only_python_can_judge_is_left_to_it(module: ModuleType, place: Path, value: str) -> None:
    twins = Twins('event_time = { param = "ts" }', module, place)
    assert not twins.compare(Asked(f"ts={value}".encode()))


@pytest.mark.parametrize("unit", ["auto", "s", "ms"])
@pytest.mark.parametrize("bounds", ["", ', stale_after = "0s", future_after = "0s"', ', stale_after = "1h"'])
def test_times_about_every_bound_are_judged_alike(
    module: ModuleType, place: Path, unit: str, bounds: str
) -> None:
    twins = Twins(f'event_time = {{ param = "ts", unit = "{unit}"{bounds} }}', module, place)
    numbers = {
        base + step
        for about in (
            0,
            10**11,
            10**13,
            10**10,
            NOW_MS,
            NOW_MS - 86_400_000,
            NOW_MS - 3_600_000,
            NOW_MS + 300_000,
        )
        for base in (about, about // 1000)
        for step in (-1, 0, 1)
    }
    for number in numbers:
        assert twins.compare(Asked(b"ts=%d" % number)) == (number >= 0)


def test_a_bound_of_more_days_than_the_clock_counts_is_none(module: ModuleType, place: Path) -> None:
    bound = '"99999999999999999d"'
    twins = Twins(
        f'event_time = {{ param = "ts", stale_after = {bound}, future_after = {bound} }}', module, place
    )
    for value in (b"1", b"9999999999999"):
        assert twins.compare(Asked(b"ts=" + value))


@pytest.mark.parametrize("value", [
    *(form for one in macros.FORMS for form in one.examples), *fuzz_line.FILLERS, *fuzz_line.REAL,
])  # fmt: skip
def test_a_click_id_is_real_in_c_where_it_is_in_python(module: ModuleType, place: Path, value: str) -> None:
    """The dup_key is the whole query's where the id is a macro or a filler."""
    twins = Twins('dedup = ["a", "b"]', module, place)
    for text in (value, quote(value, safe="%")):
        twins.compare(Asked(f"a={text}&b=2".encode()))
        twins.compare(Asked(f"a={text}&n=1".encode()))


@pytest.mark.parametrize("length", range(6))
def test_a_short_text_is_a_macro_in_c_where_it_is_one_in_python(
    module: ModuleType, place: Path, length: int
) -> None:
    """Of all that a macro is made of; the longest are a sample."""
    plain = Twins("", module, place)
    texts = ["".join(letters) for letters in itertools.product("_{}$[]%@!Aa0.-", repeat=length)]
    texts = random.Random(5).sample(texts, min(len(texts), 20_000))
    texts += [prefix + text + prefix for text in texts[:500] for prefix in ("_", "__")]
    for start in range(0, len(texts), 250):
        some = texts[start : start + 250]
        query = "&".join(f"n{number}={quote(text)}" for number, text in enumerate(some)).encode()
        flags = orjson.loads(_line(plain, query))["flags"]
        assert flags == [f"macro:n{number}" for number, text in enumerate(some) if macros.is_macro(text)]


def test_ids_are_unique_and_ordered_and_say_when_the_event_was_received(plain: Twins) -> None:
    """Within one nanosecond and from one to the next, over far more than one helping of random numbers."""
    times = [
        NOW_NS + ns
        for ns in (0, 1, 243, 244, 245, 499_999, 999_999, 1_000_000, 1_000_244, 7_999_999)
        for _ in range(500)
    ]
    made = [UUID(orjson.loads(_line(plain, b"", ns))["id"]) for ns in times]
    assert len(set(made)) == len(made)
    assert made == sorted(made)
    for uuid, ns in zip(made, times, strict=True):
        assert (uuid.version, uuid.variant) == (7, RFC_4122)
        assert uuid.int >> 80 == ns // 1_000_000
        assert (uuid.int >> 64 & 0xFFF) == ns % 1_000_000 * 4096 // 1_000_000


@pytest.mark.parametrize("received_ns", [0, 999_999, 1_000_000, 2**63 - 1])
def test_any_moment_the_clock_can_say_is_kept(plain: Twins, received_ns: int) -> None:
    event = orjson.loads(_line(plain, b"a=1", received_ns))
    assert event["received_at"] == received_ns // 1_000_000
    assert UUID(event["id"]).int >> 80 == received_ns // 1_000_000


def test_a_forked_child_gives_other_ids_than_its_parent(module: ModuleType) -> None:
    program = f"""if True:
        import os, sys
        from pathlib import Path
        from tests.commands import fuzz_line
        from tests.support import compiled
        module = compiled.load(Path({module.__file__!r}))
        twins = fuzz_line.Twins("", module, Path())
        made = lambda: [fuzz_line.line_of(twins.compiled, fuzz_line.Asked(b"")) for _ in range(100)]
        made()
        child = os.fork()
        sys.stdout.buffer.writelines(made())
        sys.stdout.flush()
        if child:
            os.waitpid(child, 0)
        os._exit(0)
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    ids = [orjson.loads(line)["id"] for line in ran.stdout.splitlines()]
    assert len(ids) == len(set(ids)) == 200


def _line(twins: Twins, query: bytes, received_ns: int = NOW_NS) -> bytes:
    return fuzz_line.line_of(twins.compiled, Asked(query, received_ns=received_ns))


def test_paths_from_outside_take_bounded_memory() -> None:
    """What is forgotten is made again, the same."""
    frames = Frames("demo", "click")
    made = [frames.get(b"GET", f"/c/{number}", str(number)) for number in range(3 * MAX_FRAMES)]
    assert len(frames._by_method[b"GET"]) <= MAX_FRAMES
    assert [frames.get(b"GET", f"/c/{number}", str(number)) for number in range(3 * MAX_FRAMES)] == made
    long = "/c/" + "x" * MAX_FRAME_PATH
    assert b"xxx" in frames.get(b"POST", long, "")
    assert frames._by_method[b"POST"] == {}
