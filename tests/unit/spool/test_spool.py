"""What the spool promises its caller: appending, reading, releasing, positions."""

from __future__ import annotations

import pytest

from ingestd.spool import spool as spool_module
from ingestd.spool.spool import Position, Spool, SpoolError
from tests.support.fakefs import FakeFs
from tests.support.spool import DIRECTORY, FIRST, NOW, SIZE, opened, payloads, restarted, segments


def test_payloads_come_back_in_the_order_of_their_append() -> None:
    spool = opened(FakeFs())
    spool.append([b"a", b"bb"])
    spool.append([b"", b"ccc"])
    assert payloads(spool) == [b"a", b"bb", b"", b"ccc"]


def test_an_append_costs_one_write_and_one_sync_whatever_it_holds() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"first"])
    fs.calls.clear()
    spool.append([b"x"] * 1000)
    assert [call.split()[0] for call in fs.calls] == ["pwritev", "fdatasync"]


def test_nothing_to_append_touches_no_file() -> None:
    fs = FakeFs()
    spool = opened(fs)
    fs.calls.clear()
    assert spool.append([]) == spool.end
    assert fs.calls == []


def test_reading_stops_at_the_bytes_asked_for_but_gives_at_least_one_payload() -> None:
    spool = opened(FakeFs())
    spool.append([b"x" * 100] * 5)
    entries, position = spool.read(spool.checkpoint, 250)
    assert len(entries) == 2
    assert position == entries[-1].end
    assert len(payloads(spool, position, max_bytes=1)) == 1


def test_what_fits_the_bytes_asked_for_to_the_last_is_read() -> None:
    spool = opened(FakeFs())
    spool.append([b"x" * 100] * 5)
    entries, position = spool.read(spool.checkpoint, 200)
    assert len(entries) == 2
    assert position == entries[-1].end


def test_reading_goes_on_where_the_last_read_ended_across_segments() -> None:
    spool = opened(FakeFs(), segment_bytes=200)
    sent = [b"%d" % number * 30 for number in range(20)]
    for payload in sent:
        spool.append([payload])
    got, position = [], spool.checkpoint
    while entries := spool.read(position, 70)[0]:
        got += [entry.payload for entry in entries]
        position = entries[-1].end
    assert got == sent
    assert spool.read(position, 70) == ([], spool.end)


def test_an_entry_carries_the_time_of_its_append_and_the_position_behind_it() -> None:
    spool = opened(FakeFs(), now=NOW + 5)
    end = spool.append([b"a", b"b"])
    entries, _next = spool.read(spool.checkpoint, 100)
    assert [entry.time_ms for entry in entries] == [NOW + 5, NOW + 5]
    assert entries[0].end < entries[1].end == end


def test_what_is_released_is_gone_and_the_rest_is_there_after_a_restart() -> None:
    fs = FakeFs()
    spool = opened(fs)
    middle = spool.append([b"a"])
    spool.append([b"b"])
    spool.release(middle)
    spool = restarted(fs, spool)
    assert spool.checkpoint == middle
    assert payloads(spool) == [b"b"]


def test_a_segment_is_deleted_once_all_of_it_is_released() -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=100)
    ends = [spool.append([b"x" * 90]) for _ in range(3)]
    spool.release(ends[0])
    assert len(segments(fs)) == 2
    spool.release(ends[2])
    assert len(segments(fs)) == 1, "the one being written stays"
    assert (spool.backlog_bytes, spool.oldest_ms) == (0, None)


def test_a_segment_ends_with_the_append_that_reaches_its_size() -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=FIRST + 2 * SIZE)
    for number in (1, 1, 2, 2, 3):
        spool.append([b"x" * 100])
        assert len(segments(fs)) == number


def test_releasing_an_older_position_changes_nothing() -> None:
    fs = FakeFs()
    spool = opened(fs)
    first = spool.append([b"a"])
    second = spool.append([b"b"])
    spool.release(second)
    fs.calls.clear()
    for position in (first, second):
        spool.release(position)
        assert spool.checkpoint == second
        assert not [call for call in fs.calls if "write" in call], "there is nothing to write down"
    assert payloads(spool, first) == []


def test_a_newer_position_from_elsewhere_moves_the_local_checkpoint_forward() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"a"])
    committed = spool.append([b"b"])
    spool.append([b"c"])
    fs.crash()
    spool = opened(fs)
    spool.release(Position.parse(str(committed)))
    assert payloads(spool) == [b"c"]


def test_a_position_beyond_the_end_releases_what_was_found_and_nothing_appended_since() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"old"])
    spool = restarted(fs, spool)
    spool.append([b"new"])
    far = Position(NOW + 1_000_000, 7)
    spool.release(far)
    assert payloads(spool) == [b"new"]
    assert spool.append([b"newer"]) > far
    assert payloads(restarted(fs, spool)) == [b"new", b"newer"]


def test_a_wiped_directory_does_not_use_a_position_again() -> None:
    end = opened(FakeFs()).append([b"a"])
    assert opened(FakeFs(), now=NOW + 1).append([b"b"]) > end


def test_positions_grow_though_the_clock_goes_back() -> None:
    fs = FakeFs()
    spool = opened(fs)
    before = spool.append([b"a"])
    spool.release(before)
    spool = restarted(fs, spool, now=NOW - 1_000_000)
    assert spool.append([b"b"]) > before


def test_a_position_is_text_and_back() -> None:
    assert Position.parse(str(Position(NOW, 56))) == Position(NOW, 56)
    for text in ("", "1", "1:", ":1", "1:x", "-1:2", "1:2:3", "١:1"):
        with pytest.raises(ValueError, match="not a spool position"):
            Position.parse(text)


def test_the_metrics_follow_what_is_stored() -> None:
    times = iter(range(NOW, NOW + 100))
    fs = FakeFs()
    spool = Spool(DIRECTORY, max_bytes=1 << 20, fs=fs, now_ms=lambda: next(times))
    spool.open()
    assert (spool.bytes_used, spool.backlog_bytes, spool.oldest_ms) == (0, 0, None)
    first = spool.append([b"x" * 100])
    oldest = spool.oldest_ms
    spool.append([b"y" * 100])
    assert spool.oldest_ms == oldest
    assert spool.bytes_used == spool.backlog_bytes == 56 + 2 * 136
    spool.release(first)
    assert oldest is not None
    assert spool.oldest_ms is not None
    assert spool.oldest_ms > oldest
    assert (spool.bytes_used, spool.backlog_bytes) == (56 + 2 * 136, 136)
    newest = spool.oldest_ms
    spool = restarted(fs, spool)
    assert (spool.bytes_used, spool.backlog_bytes, spool.oldest_ms) == (56 + 2 * 136, 136, newest)


def test_the_backlog_of_whole_segments_is_all_their_bytes() -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=100)
    first = spool.append([b"x" * 100])
    spool.append([b"y" * 100])
    spool.release(first)
    assert spool.backlog_bytes == FIRST + SIZE
    assert restarted(fs, spool).backlog_bytes == FIRST + SIZE


def test_where_the_oldest_cannot_be_read_its_age_is_the_one_known_or_its_segment_s() -> None:
    fs = FakeFs()
    spool = opened(fs, now=NOW + 5)
    middle = spool.append([b"a" * 100])
    spool.append([b"b" * 100])
    spool.append([b"c" * 100])
    fs.corrupt(DIRECTORY / segments(fs)[0], FIRST + SIZE, b"\xff" * SIZE)
    spool.release(middle)
    assert spool.oldest_ms == NOW + 5
    spool = restarted(fs, spool)
    assert spool.oldest_ms == NOW + 5, "that of the segment, which has the time it was begun at for a name"


def test_two_owners_cannot_have_one_spool() -> None:
    fs = FakeFs()
    first = opened(fs)
    with pytest.raises(SpoolError, match="another process owns"):
        opened(fs)
    first.close()
    opened(fs)


def test_a_spool_that_is_not_open_says_so() -> None:
    spool = opened(FakeFs())
    spool.close()
    with pytest.raises(SpoolError, match="not open"):
        spool.append([b"x"])
    with pytest.raises(SpoolError, match="not open"):
        spool.read(spool.checkpoint, 1)
    with pytest.raises(SpoolError, match="not open"):
        spool.release(Position(NOW, 1))


def test_a_payload_too_large_for_a_frame_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(FakeFs(), max_bytes=1 << 30)
    with pytest.raises(ValueError, match="larger"):
        spool.append([bytes((64 << 20) + 1)])
    monkeypatch.setattr(spool_module, "MAX_PAYLOAD", 100)
    spool.append([bytes(100)])
    with pytest.raises(ValueError, match="larger"):
        spool.append([b"", bytes(101)])
    assert payloads(spool) == [bytes(100)]


def test_a_spool_that_was_delivered_whole_is_empty_after_a_restart() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.release(spool.append([b"a"]))
    assert len(segments(fs)) == 1
    spool = restarted(fs, spool)
    assert (segments(fs), spool.bytes_used, spool.checkpoint) == ([], 0, spool.end)


def test_a_deleted_segment_is_not_kept_alive_by_an_open_file() -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=100)
    ends = [spool.append([b"x" * 90]) for _ in range(3)]
    payloads(spool, max_bytes=1)
    spool.release(ends[2])
    assert fs.open_files() <= set(fs.names)
