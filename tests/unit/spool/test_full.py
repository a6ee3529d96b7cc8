"""The spool's cap, and a disk that is full or fails: refused, recovered, nothing left behind."""

from __future__ import annotations

import errno

import pytest

from ingestd.spool.format import FRAME_HEADER_SIZE
from ingestd.spool.segment import stored_size
from ingestd.spool.spool import SpoolError, SpoolFullError
from tests.support.fakefs import CrashError, FakeFs
from tests.support.spool import (
    FIRST,
    SIZE,
    fail,
    heal,
    made,
    opened,
    payloads,
    recovered,
    restarted,
    segments,
)


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


def test_the_cap_is_reached_to_the_byte_and_not_passed() -> None:
    spool = opened(FakeFs(), max_bytes=4 * (FIRST + SIZE))  # an eighth of it is a segment: one payload each
    for _ in range(4):
        spool.append([b"x" * 100])
    assert spool.bytes_used == spool.max_bytes
    with pytest.raises(SpoolFullError):
        spool.append([b""])


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


def test_a_first_append_that_failed_and_could_not_be_cut_off_takes_no_room_once_it_is_deleted() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"good"])
    used = spool.bytes_used
    spool.release(spool.end)
    fail(fs, "fdatasync", "truncate")
    for _ in range(2):
        with pytest.raises(SpoolError):
            spool.append([b"lost"])
    assert (len(segments(fs)), spool.bytes_used) == (1, used + FRAME_HEADER_SIZE + len(b"lost"))


def test_a_segment_is_an_eighth_of_the_cap_where_that_is_less() -> None:
    fs = FakeFs()
    spool = opened(fs, max_bytes=8 * (FIRST + SIZE + 1), segment_bytes=1 << 20)
    for number in (1, 1, 2, 2, 3):
        spool.append([b"x" * 100])
        assert len(segments(fs)) == number


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


def test_a_probe_says_whether_an_append_could_succeed_and_leaves_nothing() -> None:
    fs = FakeFs()
    spool = opened(fs, max_bytes=4000)
    files = set(fs.names)
    fs.calls.clear()
    spool.probe(2000)
    assert [call.split()[0] for call in fs.calls] == ["create", "pwritev", "fdatasync", "unlink"]
    assert set(fs.names) == files
    assert fs.open_files() <= files
    with pytest.raises(SpoolFullError):
        spool.probe(5000)
    fs.space = 8192 + 1000
    with pytest.raises(SpoolError) as caught:
        spool.probe(2000)
    assert caught.value.errno == errno.ENOSPC
    assert set(fs.names) == files


def test_the_open_segment_is_given_back_when_a_large_batch_needs_its_room() -> None:
    fs = FakeFs()
    spool = opened(fs, max_bytes=1000)
    spool.release(spool.append([b"x"]))
    spool.append([b"y" * 900])
    assert payloads(spool) == [b"y" * 900]
    assert len(segments(fs)) == 1


def test_a_segment_that_cannot_be_cut_back_is_not_appended_to_again() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"good"])
    fail(fs, "pwritev", "truncate")
    with pytest.raises(SpoolError):
        spool.append([b"lost" * 100])
    heal(fs)
    spool.append([b"next"])
    assert len(segments(fs)) == 2
    assert payloads(restarted(fs, spool)) == [b"good", b"next"]


def test_a_segment_given_up_before_it_held_anything_is_not_missed_later() -> None:
    fs = FakeFs()
    spool = opened(fs)
    fail(fs, "fdatasync")
    with pytest.raises(SpoolError):
        spool.append([b"x"])
    heal(fs)
    spool.append([b"y"])
    spool.close()
    spool, found = recovered(fs)
    assert found.missing_segments == []
    assert payloads(spool) == [b"y"]


@pytest.mark.parametrize("seed", range(20))
def test_what_a_killed_process_left_unsynced_is_made_durable_before_it_counts(seed: int) -> None:
    fs = FakeFs(seed)
    spool = opened(fs)
    spool.append([b"a" * 1000])

    def stop(call: str, _name: str) -> None:
        if call == "fdatasync":
            raise CrashError

    fs.before_call = stop
    with pytest.raises(CrashError):
        spool.append([b"b" * 1000])
    heal(fs)
    fs.kill()
    spool = opened(fs)
    delivered = payloads(spool)
    spool.append([b"c"])
    fs.crash()
    spool, found = recovered(fs)
    assert payloads(spool) == [*delivered, b"c"]
    assert (found.missing_bytes, spool.damaged) == (0, 0)


def test_an_append_whose_sync_failed_is_cut_off_and_takes_no_room() -> None:
    """Unless it is, a restart would take up what was refused."""
    fs = FakeFs()
    path = made(fs)
    spool = opened(fs)
    spool.append([b"stored"])
    newest = max(fs.names, key=lambda one: one.name if one.suffix == ".spool" else "")
    assert newest != path
    size, used = len(fs.names[newest].data), spool.bytes_used
    fail(fs, "fdatasync", name=".spool")
    with pytest.raises(SpoolError):
        spool.append([b"refused"])
    heal(fs)
    assert (len(fs.names[newest].data), spool.bytes_used) == (size, used)


def test_room_is_asked_for_each_frame_s_header() -> None:
    many = [b"x"] * 1000
    fs = FakeFs()
    spool = opened(fs)
    spool.append(many)
    assert spool.bytes_used == stored_size(many)
    spool.close()
    small = opened(FakeFs(), max_bytes=stored_size(many) - 1)
    with pytest.raises(SpoolFullError):
        small.append(many)
