"""Manifests: figures that add up, written beside each finished file, whole after a crash at any step."""

from __future__ import annotations

import functools
import gzip
import os
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from xxhash import xxh3_128_intdigest

from ingestd import config
from ingestd.file import manifests, names
from ingestd.file.manifest import Chain, Manifest
from ingestd.file.manifests import Manifests
from ingestd.file.scan import scan
from ingestd.file.sink import FileSink
from ingestd.system import durable
from ingestd.tally import Row, Tally, hour_text, parse_hour, parse_rows, rows_tree
from tests.support.crashing import crash_before
from tests.support.event_files import (
    HOUR,
    event,
    finished,
    manifests_at,
    mark_removed,
    read,
    rows_of,
    write_manifest,
)
from tests.support.fakes import FakeClock
from tests.support.sinks_under_test import batch_of

# figures


def test_a_row_holds_the_count_the_bytes_and_the_sum_of_the_hashes_of_the_ids() -> None:
    lines = [event(number) for number in range(3)]
    expected = sum(xxh3_128_intdigest(line[13:49]) for line in lines) % 2**128
    assert rows_of(lines) == {("demo", HOUR): Row(3, sum(map(len, lines)), expected)}


def test_rows_do_not_depend_on_the_order_and_those_of_parts_add_up() -> None:
    lines = [event(n, source, n % 3) for n in range(200) for source in ("ocean", "demo")]
    whole = rows_of(lines)
    random.Random(1).shuffle(lines)
    assert rows_of(lines) == whole
    first, second = rows_of(lines[:77]), rows_of(lines[77:])
    for key, row in second.items():
        first.setdefault(key, Row()).add(*row.figures())
    assert first == whole


def test_rows_survive_their_json() -> None:
    rows = rows_of([event(n, hours=n) for n in range(4)])
    assert parse_rows(orjson.loads(orjson.dumps(rows_tree(rows)))) == rows
    assert parse_hour(hour_text(HOUR)) == HOUR


def test_the_hour_is_that_of_received_at_in_utc() -> None:
    [(_, hour)] = rows_of([event(1)])
    assert hour_text(hour) == "2023-11-14T22"


@pytest.mark.parametrize("junk", [b"", b"{}", b"\0" * 200, event(1)[1:-1], event(1)[:70]])
def test_a_line_that_is_no_event_is_counted_apart(junk: bytes) -> None:
    tally = Tally()
    tally.add([junk])
    assert (tally.rows, tally.others) == ({}, 1)


# the chain


def test_each_manifest_names_the_file_before_it(tmp_path: Path) -> None:
    paths = [finished(tmp_path, n, [event(n)]) for n in range(3)]
    for path in paths:
        write_manifest(path)
    found = [read(path) for path in paths]
    assert [one.number for one in found] == [1, 2, 3]
    assert [one.previous for one in found] == [None, paths[0].name, paths[1].name]
    assert {one.instance for one in found} == {"one"}
    assert Chain.read(tmp_path / "clicks-one.chain") == Chain(3, paths[2].name, 0)


def test_each_instance_has_a_chain_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "two-2"):
        path = tmp_path / f"clicks-{name}-20231114T221330.000Z-1.ndjson"
        path.write_bytes(event(1))
        made = write_manifest(path)
        assert made is not None
        assert (made.instance, made.number) == (name, 1)


def test_a_file_that_has_a_manifest_keeps_it(tmp_path: Path) -> None:
    path = finished(tmp_path, 1, [event(1)])
    assert write_manifest(path) is not None
    path.write_bytes(event(2))
    assert write_manifest(path) is None
    assert read(path).rows == rows_of([event(1)])


def test_a_crash_before_any_step_leaves_what_the_next_start_puts_right(tmp_path: Path) -> None:
    step, crashed = 0, True
    while crashed:
        directory = tmp_path / str(step)
        directory.mkdir()
        first = finished(directory, 1, [event(1)])
        write_manifest(first)
        second, third = (finished(directory, n, [event(n)]) for n in (2, 3))
        crashed = crash_before(step, functools.partial(write_manifest, second))
        if step % 2:  # the start's order of work must not matter
            manifests_at(directory).settle()
        for path in (third, second):
            write_manifest(path)
        found = sorted((read(path) for path in (first, second, third)), key=lambda one: one.number)
        assert [one.number for one in found] == [1, 2, 3], step
        assert [one.previous for one in found[1:]] == [one.file for one in found[:-1]], step
        assert not list(directory.glob("*.tmp")), step
        step += 1
    assert step > 8


# retention


def test_retention_says_in_the_manifest_that_it_removed_the_file(tmp_path: Path) -> None:
    path = finished(tmp_path, 1, [event(1)])
    write_manifest(path)
    mark_removed(path, 1234.5)
    assert read(path).removed_at == 1_234_500
    assert read(path).rows == rows_of([event(1)])


def test_manifests_of_files_removed_long_ago_go_too_and_the_chain_says_how_far(tmp_path: Path) -> None:
    paths = [finished(tmp_path, n, [event(n)]) for n in range(4)]
    for path in paths:
        write_manifest(path)
    later = manifests.KEEP_SECONDS + 1000.0
    for path, moment in zip(paths, (10.0, 20.0, later), strict=False):
        mark_removed(path, moment)
    manifests_at(tmp_path).prune(later)
    assert [names.manifest_path(path).exists() for path in paths] == [False, False, True, True]
    assert Chain.read(tmp_path / "clicks-one.chain").pruned == 2


# the file sink


class Sinks:
    """A directory and file sinks over it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.wall = 1_718_000_000.0

    def sink(self, **settings: Any) -> FileSink:
        parsed = config.FileConfig.model_validate({"directory": self.directory, **settings})
        return FileSink(parsed, "one", self.clock.now, self._time)

    def _time(self) -> float:
        self.wall += 1.0
        return self.wall

    def found(self) -> list[Manifest]:
        return [Manifest.decode(path.read_bytes()) for path in sorted(self.directory.glob("*.manifest"))]


@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
async def test_every_finished_file_has_a_manifest_of_its_plain_bytes(compress: str, tmp_path: Path) -> None:
    sinks = Sinks(tmp_path)

    sink = sinks.sink(compress=compress)
    await sink.open()
    for numbers in ((1, 2, 3), (4,)):
        await sink.commit(batch_of(*numbers))
        await sink.rotate()
    await sink.close()
    assert sink.snapshot().metrics["manifest_mismatches"] == 0
    assert sink.snapshot().metrics["file_errors"] == 0
    assert [sum(row.events for row in one.rows.values()) for one in sinks.found()] == [3, 1]
    assert [one.number for one in sinks.found()] == [1, 2]
    for one in sinks.found():
        [path] = [path for path in tmp_path.glob(one.file + "*") if not path.name.endswith(".manifest")]
        assert scan(path)[:2] == (one.size, one.xxh3)


async def test_a_file_of_a_crash_and_one_from_before_manifests_get_theirs_at_the_start(
    tmp_path: Path,
) -> None:
    sinks = Sinks(tmp_path)
    left = tmp_path / "clicks-two-20231114T221330.000Z.ndjson.open"
    left.write_bytes(event(1) + event(2)[:50])
    old = tmp_path / "clicks-one-20231114T221330.000Z.ndjson.gz"
    old.write_bytes(gzip.compress(event(3)))

    sink = sinks.sink()
    await sink.open()
    await sink.close()
    assert [(one.instance, one.rows) for one in sinks.found()] == [
        ("one", rows_of([event(3)])),
        ("two", rows_of([event(1)])),
    ]


async def test_a_file_that_does_not_hold_what_was_written_is_counted(tmp_path: Path) -> None:
    sinks = Sinks(tmp_path)

    sink = sinks.sink()
    await sink.open()
    await sink.commit(batch_of(1, 2))
    [path] = tmp_path.glob("*.open")
    with path.open("ab") as file:
        file.write(event(3))
    await sink.close()
    assert sink.snapshot().metrics["manifest_mismatches"] == 1


async def test_a_manifest_that_cannot_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks = Sinks(tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    sink = sinks.sink(compress="zstd")
    await sink.open()
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_temporary", full)
        await sink.rotate()
        await sink.commit(batch_of(2))  # the commit path does not notice
        await sink._upkeep.idle()
    assert sink.snapshot().metrics["file_errors"] in (1, 2)
    assert list(tmp_path.glob("*.zst")) == [], "not compressed before it has its manifest"
    await sink.tick()
    await sink.close()
    assert len(sinks.found()) == len(list(tmp_path.glob("*.zst"))) == 2


def test_a_chain_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    """It never counts as an empty one: a gap in it is what tells of a deleted file."""
    for number, text in enumerate((b"{", b"{}", b'{"number":null,"file":null,"pruned":0}')):
        path = tmp_path / f"clicks-{number}.chain"
        path.write_bytes(text)
        with pytest.raises(ValueError, match=rf"clicks-{number}\.chain: not a chain"):
            Chain.read(path)


def test_what_is_no_finished_file_of_ours_gets_no_manifest(tmp_path: Path) -> None:
    """A foreign name, a file that has gone, one that somebody holds."""
    foreign = tmp_path / "notes.ndjson"
    foreign.write_bytes(event(1))
    assert write_manifest(foreign) is None
    gone = tmp_path / "clicks-one-20240610T061320.123Z.ndjson"
    assert write_manifest(gone) is None
    gone.write_bytes(event(1))
    with gone.open("rb") as held:
        assert durable.try_lock(held.fileno())
        assert write_manifest(gone) is None
    assert write_manifest(gone) is not None
    assert write_manifest(gone) is None, "it has one"


def test_a_file_that_goes_while_it_is_read_gets_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compression has put another in its place."""
    path = tmp_path / "clicks-one-20240610T061320.123Z.ndjson"
    path.write_bytes(event(1))

    def vanish(*arguments: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(manifests, "scan", vanish)
    assert write_manifest(path) is None


def test_a_lock_that_another_keeps_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next call, once it is free, does the work."""
    monkeypatch.setattr(manifests, "_LOCK_SECONDS", 0.02)
    other = os.open(tmp_path, os.O_RDONLY)
    assert durable.try_lock(other)
    with pytest.raises(OSError, match="another instance holds"):
        manifests_at(tmp_path).settle()
    os.close(other)
    manifests_at(tmp_path).settle()


def test_rows_say_what_they_hold() -> None:
    """In a failing test, and in a debugger."""
    assert repr(Row(2, 30, 255)) == "Row(2, 30, 0xff)"


def test_of_two_that_make_a_manifest_at_once_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other finds it there once it has the lock, and the chain has one number for it."""
    path = tmp_path / "clicks-one-20240610T061320.123Z.ndjson"
    path.write_bytes(event(1))
    real = Manifests._settle
    theirs: list[bytes] = []

    def other_first(made: Manifests, stem: str) -> None:
        target = names.manifest_path(path)
        target.write_bytes(Manifest(path.name, "one", 1, None, 9, "", {}, 0, None).encode())
        theirs.append(target.read_bytes())
        real(made, stem)

    with monkeypatch.context() as patch:
        patch.setattr(Manifests, "_settle", other_first)
        assert write_manifest(path) is None
    assert names.manifest_path(path).read_bytes() == theirs[0]


def test_pruning_keeps_to_the_files_of_its_own_chain(tmp_path: Path) -> None:
    """Of instance `one`, not of `one-more`, whose names begin the same."""
    long_ago = 1_000_000.0
    for stem in ("clicks-one", "clicks-one-more"):
        path = tmp_path / f"{stem}-20240610T061320.123Z.ndjson"
        path.write_bytes(event(1))
        assert write_manifest(path) is not None
        mark_removed(path, long_ago)
    (tmp_path / "clicks-one-more.chain").rename(tmp_path / "kept")
    manifests_at(tmp_path).prune(long_ago + manifests.KEEP_SECONDS + 1)
    left = [path.name for path in tmp_path.glob("*.manifest")]
    assert left == ["clicks-one-more-20240610T061320.123Z.ndjson.manifest"]


def test_a_file_that_was_removed_once_keeps_the_time_of_that(tmp_path: Path) -> None:
    path = finished(tmp_path, 1, [event(1)])
    write_manifest(path)
    mark_removed(path, 1000.0)
    mark_removed(path, 2000.0)
    assert read(path).removed_at == 1_000_000


@pytest.mark.parametrize("compress", ["none", "zstd"])
async def test_without_manifests_files_are_compressed_all_the_same(compress: str, tmp_path: Path) -> None:
    sink = Sinks(tmp_path).sink(manifest=False, compress=compress)
    await sink.open()
    await sink.commit(batch_of(1))
    await sink.close()
    assert [path.suffix for path in tmp_path.glob("[!.]*")] == [".ndjson" if compress == "none" else ".zst"]
