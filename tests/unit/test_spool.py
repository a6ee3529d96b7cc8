"""What the spool promises its caller: appending, reading, releasing, its cap, and a disk that says no."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ingestd.sinks.spool import Position, Spool, SpoolError, SpoolFullError
from tests.support.fakefs import CrashError, FakeFs

DIRECTORY = Path("/spool")
NOW = 1_700_000_000_000


def opened(fs: FakeFs, *, max_bytes: int = 1 << 20, segment_bytes: int = 1 << 16, now: int = NOW) -> Spool:
    spool = Spool(DIRECTORY, max_bytes=max_bytes, segment_bytes=segment_bytes, fs=fs, now_ms=lambda: now)
    spool.open()
    return spool


def payloads(spool: Spool, position: Position | None = None, max_bytes: int = 1 << 20) -> list[bytes]:
    entries, _next = spool.read(spool.checkpoint if position is None else position, max_bytes)
    return [entry.payload for entry in entries]


def fail(fs: FakeFs, call: str, number: int = errno.EIO, name: str = "") -> None:
    """Make every `call` on a file whose name holds `name` fail until `heal`."""

    def before(made: str, file: str) -> None:
        if made == call and name in file:
            raise OSError(number, os.strerror(number))

    fs.before_call = before


def heal(fs: FakeFs) -> None:
    fs.before_call = lambda _call, _name: None


def restarted(fs: FakeFs, spool: Spool, *, now: int = NOW) -> Spool:
    spool.close()
    return opened(fs, now=now)


def segments(fs: FakeFs) -> list[str]:
    return sorted(path.name for path in fs.names if path.suffix == ".spool")


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


def test_releasing_an_older_position_changes_nothing() -> None:
    fs = FakeFs()
    spool = opened(fs)
    first = spool.append([b"a"])
    second = spool.append([b"b"])
    spool.release(second)
    fs.calls.clear()
    spool.release(first)
    assert spool.checkpoint == second
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


def test_a_full_spool_refuses_before_it_writes_and_takes_again_once_something_is_released() -> None:
    fs = FakeFs()
    spool = opened(fs, max_bytes=4000)
    ends = [spool.append([b"x" * 300]) for _ in range(10)]
    assert 3000 < spool.bytes_used <= 4000
    assert sum(len(node.data) for path, node in fs.names.items() if path.suffix == ".spool") <= 4000
    fs.calls.clear()
    with pytest.raises(SpoolFullError):
        spool.append([b"x" * 300])
    assert not [call for call in fs.calls if call.startswith("pwritev")]
    spool.release(ends[len(ends) // 2])
    spool.append([b"after"])
    assert payloads(spool)[-1] == b"after"
    assert len(payloads(spool)) == len(ends) - len(ends) // 2


def test_a_full_spool_whose_only_segment_is_released_takes_again() -> None:
    spool = opened(FakeFs(), max_bytes=1000)
    spool.release(spool.append([b"x" * 700]))
    spool.append([b"y" * 700])
    assert payloads(spool) == [b"y" * 700]


def test_a_batch_that_can_never_fit_is_refused_and_costs_nothing() -> None:
    spool = opened(FakeFs(), max_bytes=1000)
    spool.append([b"a"])
    with pytest.raises(SpoolFullError):
        spool.append([b"x" * 2000])
    assert payloads(spool) == [b"a"]


def test_a_full_disk_is_an_error_with_its_number_and_no_part_of_the_batch_stays() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"a"])
    used = spool.bytes_used
    fs.space = sum(len(node.data) for node in fs.names.values()) + 50
    with pytest.raises(SpoolError) as caught:
        spool.append([b"x" * 100, b"y" * 100])
    assert caught.value.errno == errno.ENOSPC
    assert not isinstance(caught.value, SpoolFullError)
    assert (spool.bytes_used, payloads(spool)) == (used, [b"a"])
    fs.space = None
    spool.append([b"b"])
    assert payloads(spool) == [b"a", b"b"]
    assert len(segments(fs)) == 1, "the segment is still good"


def test_a_full_disk_at_the_first_append_leaves_no_trail_of_empty_files() -> None:
    fs = FakeFs()
    spool = opened(fs)
    fs.space = 8192
    for _ in range(5):
        with pytest.raises(SpoolError):
            spool.append([b"x"])
    fs.space = None
    spool.append([b"y"])
    assert len(segments(fs)) == 1
    assert payloads(restarted(fs, spool)) == [b"y"]


def test_releasing_works_on_a_full_disk() -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=100)
    ends = [spool.append([b"x" * 90]) for _ in range(3)]
    fs.space = 0
    spool.release(ends[1])
    assert payloads(spool) == [b"x" * 90]


@pytest.mark.parametrize("call", ["fdatasync", "sync_directory"])
def test_after_a_failed_sync_the_batch_is_gone_and_the_segment_is_never_appended_to_again(call: str) -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=100)
    spool.append([b"good" * 30])
    fail(fs, call)
    with pytest.raises(SpoolError) as caught:
        spool.append([b"lost"])
    assert caught.value.errno == errno.EIO
    failed = segments(fs)
    heal(fs)
    spool.append([b"next"])
    assert payloads(spool) == [b"good" * 30, b"next"]
    assert segments(fs)[-1] not in failed


def test_a_failed_sync_keeps_what_was_synced_in_the_same_segment_before() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"good"])
    fail(fs, "fdatasync")
    with pytest.raises(SpoolError):
        spool.append([b"lost"])
    heal(fs)
    spool.append([b"next"])
    assert len(segments(fs)) == 2
    assert payloads(spool) == [b"good", b"next"]
    fs.crash()
    assert payloads(opened(fs)) == [b"good", b"next"], "the next segment says where this one ended"


def test_a_disk_that_fails_every_sync_leaves_no_trail_of_files() -> None:
    fs = FakeFs()
    spool = opened(fs)
    fail(fs, "fdatasync")
    for _ in range(5):
        with pytest.raises(SpoolError):
            spool.append([b"x"])
    assert segments(fs) == []
    assert spool.bytes_used == 0


def test_a_failed_release_deletes_nothing_and_can_be_tried_again() -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=100)
    end = spool.append([b"x" * 90])
    spool.append([b"y"])
    fail(fs, "fdatasync", name="checkpoint")
    with pytest.raises(SpoolError):
        spool.release(end)
    assert payloads(spool) == [b"x" * 90, b"y"]
    heal(fs)
    spool.release(end)
    assert payloads(spool) == [b"y"]


def test_a_segment_that_cannot_be_deleted_is_deleted_by_a_later_release() -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=100)
    ends = [spool.append([b"x" * 90]) for _ in range(3)]
    fail(fs, "unlink")
    with pytest.raises(SpoolError):
        spool.release(ends[0])
    heal(fs)
    spool.release(ends[1])
    assert len(segments(fs)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_checkpoint_known_to_be_durable_is_never_overwritten_by_one_that_is_not(seed: int) -> None:
    fs = FakeFs(seed)
    spool = opened(fs)
    ends = [spool.append([b"%d" % number]) for number in range(3)]
    spool.release(ends[0])
    fail(fs, "fdatasync", name="checkpoint")
    with pytest.raises(SpoolError):
        spool.release(ends[1])
    spool.close()

    def stop(call: str, name: str) -> None:
        if call == "pwritev" and name == "checkpoint":
            raise CrashError

    fs.before_call = stop
    with pytest.raises(CrashError):
        opened(fs)
    heal(fs)
    fs.crash()
    assert opened(fs).checkpoint >= ends[0]


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


def test_a_probe_says_whether_an_append_could_succeed_and_leaves_nothing() -> None:
    fs = FakeFs()
    spool = opened(fs, max_bytes=4000)
    spool.probe(2000)
    files = set(fs.names)
    with pytest.raises(SpoolFullError):
        spool.probe(5000)
    fs.space = 8192 + 1000
    with pytest.raises(SpoolError) as caught:
        spool.probe(2000)
    assert caught.value.errno == errno.ENOSPC
    assert set(fs.names) == files


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


def test_a_payload_too_large_for_a_frame_is_refused() -> None:
    spool = opened(FakeFs(), max_bytes=1 << 30)
    with pytest.raises(ValueError, match="larger"):
        spool.append([bytes((64 << 20) + 1)])
