"""The compiled count of a file's lines: it counts as Python does, and leaves it what is unsure."""

from __future__ import annotations

import random
import uuid
from math import inf
from types import ModuleType

import pytest
from xxhash import xxh3_128_intdigest

from ingestd.tally import Tally
from tests.commands import fuzz_tally
from tests.support import compiled
from tests.support.event_files import event, rows_of


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled.built_or_skip(fuzz_tally.SOURCE, tmp_path_factory.mktemp("tally"))


def test_the_hash_is_xxh3_128(native: ModuleType) -> None:
    for _ in range(2000):
        name = str(uuid.uuid4()).encode()
        rows, left, _ = native.count_lines(event(1).replace(event(1)[13:49], name))
        assert not left
        assert int.from_bytes(rows[0][4], "little") == xxh3_128_intdigest(name)


def test_lines_of_several_sources_and_hours_are_counted_whole(native: ModuleType) -> None:
    lines = [event(n, source, n % 40) for n in range(500) for source in ("ocean", "demo", "", "a" * 300)]
    block = b"".join(lines)
    rows, left, end = native.count_lines(block + b'{"v":1')
    tally = Tally()
    tally.add_rows(rows)
    assert (tally.rows, left, end) == (rows_of(lines), [], len(block))


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
    rows, left, _ = native.count_lines(event(2) + odd + b"\n" + event(3))
    assert left == [odd]
    assert sum(row[2] for row in rows) == 2


def test_only_bytes_are_counted(native: ModuleType) -> None:
    with pytest.raises(TypeError):
        native.count_lines("text")


def test_made_up_files_are_counted_as_in_python(native: ModuleType) -> None:
    count, alone = compiled.compare(fuzz_tally.PART, native, random.Random(5), seconds=inf, at_most=3000)
    assert count == 3000
    assert 300 < alone < 2700, "both ways were tried"


def test_it_stays_within_its_memory() -> None:
    assert "all as in Python alone" in compiled.fuzz_for_a_moment(fuzz_tally.__name__, seconds=3)
