"""The spill log's lines: any bytes there and back, and everything that is no line of nginx'."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestd.cli import spill_log
from ingestd.cli.spill_log import BadLineError, Spilled
from ingestd.errors import IngestdError
from tests.support.spilled import escape, line

# Its first block is of a kind that there is not.
DAMAGED = gzip.compress(b"", mtime=0)[:10] + b"\x07" + gzip.compress(b"", mtime=0)[11:]


def test_every_byte_comes_back() -> None:
    everything = bytes(range(256))
    assert spill_log.unescape(escape(everything)) == everything


@given(st.binary(max_size=400), st.binary(max_size=400), st.binary(max_size=60))
def test_any_target_body_and_header_come_back(target: bytes, body: bytes, header: bytes) -> None:
    found = spill_log.parse(line(b"/" + target, body=body, agent=header, extra={"X-Signature": header}))
    assert (found.target, found.body) == (b"/" + target, body)
    expected = None if header in (b"", b"-") else header
    assert found.headers.find(b"User-Agent") == expected
    assert found.headers.find(b"x-signature") == expected


@given(st.binary(max_size=300))
def test_no_bytes_bring_the_reader_down(data: bytes) -> None:
    try:
        found = spill_log.parse(data)
    except BadLineError:
        return
    assert isinstance(found, Spilled)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_a_line_with_damage_is_refused_or_says_something_whole(place: int, damage: bytes) -> None:
    whole = line(b"/c/demo?n=1", body=b"a=\x00\xff")
    place %= len(whole)
    damaged = whole[:place] + damage + whole[place + len(damage) :]
    try:
        found = spill_log.parse(damaged)
    except BadLineError:
        return
    assert re.fullmatch(rb"[0-9a-f]{32}", found.request_id)
    assert found.target.startswith(b"/")


@pytest.mark.parametrize("size", range(0, 200, 7))
def test_a_line_that_lost_its_end_is_refused(size: int) -> None:
    whole = line(b"/c/demo?n=1")
    with pytest.raises(BadLineError):
        spill_log.parse(whole[: min(size, len(whole) - 1)])


def test_a_whole_line_behind_a_torn_one_is_rescued() -> None:
    first, second = line(b"/c/demo?n=1"), line(b"/c/demo?n=2")
    for cut in range(1, len(first)):
        found = spill_log.rescue(first[:cut] + second)
        assert found is not None
        assert (found[0], found[1].target) == (first[:cut], b"/c/demo?n=2")
    assert spill_log.rescue(second) is None
    assert spill_log.rescue(b"junk" + second[:-2]) is None


@pytest.mark.parametrize(
    ("length", "body", "expected"),
    [(b"-", b"-", b""), (b"0", b"-", b""), (b"1", b"-", b"-"), (b"3", b"a\\x00b", b"a\0b"), (b"0", b"", b"")],
)
def test_no_body_is_told_from_a_dash(length: bytes, body: bytes, expected: bytes) -> None:
    assert spill_log.parse(line(b"/c", raw_body=(length, body))).body == expected


@pytest.mark.parametrize(("length", "body"), [(b"5", b"-"), (b"2", b"abc"), (b"x", b"abc")])
def test_a_body_that_is_not_all_there_is_refused(length: bytes, body: bytes) -> None:
    with pytest.raises(BadLineError, match="body"):
        spill_log.parse(line(b"/c", raw_body=(length, body)))


def test_lines_longer_than_nginx_writes_come_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "spill"
    path.write_bytes(b"x" * (spill_log.MAX_LINE + 5) + b"\nlast")
    pieces = list(spill_log.read(path))
    assert [len(piece) for piece in pieces] == [spill_log.MAX_LINE, 6, 4]


@pytest.mark.parametrize("at_ms", [999_999_999_999, 10_000_000_000_000], ids=["of 2001", "of 2286"])
def test_a_time_that_is_not_of_these_centuries_is_none(at_ms: int) -> None:
    # An event's `received_at` has 13 digits at a fixed place, out of which sinks cut it.
    with pytest.raises(BadLineError, match="bad time"):
        spill_log.parse(line(b"/c/demo", at_ms=at_ms))


@pytest.mark.parametrize(
    ("name", "data"),
    [("spill", None), ("spill.gz", b"no gzip"), ("spill.zst", b"no zstd"), ("torn.gz", DAMAGED)],
)
def test_a_log_that_cannot_be_read_is_an_error_that_names_it(
    name: str, data: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(IngestdError, match=name):
        list(spill_log.read(path))


def test_a_compressed_log_that_was_cut_short_says_so_after_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "spill.1.gz"
    lines = [line(b"/c/demo?n=%d" % number) + b"\n" for number in range(5000)]
    path.write_bytes(gzip.compress(b"".join(lines))[:-9])
    found: list[bytes] = []
    with pytest.raises(IngestdError, match="spill"):
        found.extend(spill_log.read(path))
    assert found == lines[: len(found)]
    assert len(found) > 4000
