"""The compiled count of a file's lines: it counts as Python does, and leaves it what is unsure."""

from __future__ import annotations

import random
import uuid
from math import inf
from types import ModuleType

import pytest
from xxhash import xxh3_128_intdigest

from ingestd.file.recovery import is_event
from ingestd.tally import Tally, count_repeats_in_python
from tests.commands import fuzz_tally
from tests.support import compiled
from tests.support.event_files import event, rows_of


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled.built_or_skip(fuzz_tally.SOURCE, tmp_path_factory.mktemp("tally"))


def test_the_hash_is_xxh3_128(native: ModuleType) -> None:
    for _ in range(2000):
        name = str(uuid.uuid4()).encode()
        rows, left, ids = native.count_lines(event(1).replace(event(1)[13:49], name), False)
        assert not left
        assert ids == rows[0][4][:8]
        assert int.from_bytes(rows[0][4], "little") == xxh3_128_intdigest(name)


def test_lines_of_several_sources_and_hours_are_counted_whole(native: ModuleType) -> None:
    lines = [event(n, source, n % 40) for n in range(500) for source in ("ocean", "demo", "", "a" * 300)]
    block = b"".join(lines)
    rows, left, ids = native.count_lines(block + b'{"v":1', False)
    tally = Tally()
    tally.add_rows(rows)
    assert (tally.rows, left, len(ids)) == (rows_of(lines), [], 8 * len(lines))


@pytest.mark.parametrize(
    "odd",
    [
        *(b"", b"{}", b"\0" * 200, event(1)[1:-1], event(1)[:70], event(1)[:110], event(1)[:123]),
        event(1).replace(b"1700000000000,", b"170000000000000000000,")[:-1],
        event(1).replace(b"1700000000000,", b"1_7,")[:-1],
        event(1).replace(b'"source":"demo"', b'"source":"d\xc3\xa4mo"')[:-1],
        event(1).replace(b'"source":"demo"', b'"source":null')[:-1],
        event(1)[: event(1).index(b"demo") + 2],
    ],
)
def test_what_is_no_line_of_ours_to_the_letter_is_left_to_python(odd: bytes, native: ModuleType) -> None:
    rows, left, _ = native.count_lines(event(2) + odd + b"\n" + event(3), False)
    assert left == [(len(event(2)), len(event(2)) + len(odd))]
    assert sum(row[2] for row in rows) == 2


GOOD = event(1)[:-1]
BODIES = [
    *(b'{"a": [1, -2.5, true, false, null, "x"], "b": {}}', b"[]", b'""', b"0", '"点"'.encode(), b"[ 1 ]"),
    *(b"[" * 50 + b"]" * 50, b'"' + b"a" * 500 + b'"', rb'"\u4e2d\n\"\\\/"', b'"\xf0\x9f\x98\x80\xdf\xbf"'),
]
NOT_JSON = [
    *(b"tru", b"01", b"-", b"1.", b".5", b"1e", b"+1", b"NaN", b"[1,]", b"[1 2]", b'{"a"}', b'{"a":}'),
    *(b'"\x1f"', b'"\0"', b'"', rb'"\"', rb'"\q"', rb'"\u12"', rb'"\u12g4"', b'"\xff"', b'"\xc1\x80"'),
    *(b'"\xe0\x9f\xbf"', b'"\xed\xa0\x80"', b'"\xf0\x8f\xbf\xbf"', b'"\xf4\x90\x80\x80"', b'"\xe4\xb8"'),
    *(b"[" * 9, b"{]", b"[}", b'{"a":1', b'"a" "b"', b"", rb'"\ud800"', b"\x0b1", b"//", b"'a'", b"1,"),
    *(b"[1,,2]", b"nulll", b"}", b"1}", b"{a:1}"),
]
DECLINED = [b"1e5", b"12345678901234567890", rb'"\ud83d\ude00"', b"[" * 100 + b"]" * 100]


def with_body(body: bytes) -> bytes:
    return GOOD[:-1] + b',"body":' + body + b"}"


@pytest.mark.parametrize("body", BODIES)
def test_a_line_that_is_valid_json_is_counted_where_it_must_be(body: bytes, native: ModuleType) -> None:
    assert native.count_lines(with_body(body) + b"\n", True)[1] == []


@pytest.mark.parametrize("body", NOT_JSON + DECLINED)
def test_a_line_that_may_not_be_valid_json_is_left_to_python(body: bytes, native: ModuleType) -> None:
    line = with_body(body)
    assert native.count_lines(line + b"\n", True)[1] == [(0, len(line))]
    assert native.count_lines(line + b"\n", False)[1] == []
    assert is_event(line) == (body in DECLINED)


@pytest.mark.parametrize("line", [GOOD + b" ", GOOD + b"}", GOOD[:-1], GOOD + GOOD, GOOD + b"\0"])
def test_bytes_behind_the_value_or_missing_from_it_are_left(line: bytes, native: ModuleType) -> None:
    assert native.count_lines(line + b"\n", True)[1] == [(0, len(line))]
    assert not is_event(line)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 1000])
def test_repeats_are_counted_as_in_python(size: int, native: ModuleType) -> None:
    """Whatever the values, those among them that look like a free place."""
    dice = random.Random(size)
    for most in (1, 3, 1 << 20, (1 << 64) - 1):
        ids = b"".join(dice.randint(0, most).to_bytes(8, "little") for _ in range(size))
        assert native.count_repeats(ids) == count_repeats_in_python(ids)


def test_only_bytes_are_counted(native: ModuleType) -> None:
    with pytest.raises(TypeError):
        native.count_lines("text", False)


def test_made_up_files_are_counted_as_in_python(native: ModuleType) -> None:
    count, alone = compiled.compare(fuzz_tally.PART, native, random.Random(5), seconds=inf, at_most=3000)
    assert count == 3000
    assert 300 < alone < 2700, "both ways were tried"


def test_it_stays_within_its_memory() -> None:
    assert "all as in Python alone" in compiled.fuzz_for_a_moment(fuzz_tally.__name__, seconds=3)
