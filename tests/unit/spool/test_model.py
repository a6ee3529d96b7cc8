"""The spool against a disk that loses what was not synced: nothing missing, altered or invented."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from pathlib import Path

import pytest

from ingestd.spool.format import FRAME_HEADER_SIZE
from ingestd.spool.spool import Position, Spool, SpoolError, Stored
from tests.support.fakefs import CrashError, FakeFs

DIRECTORY = Path("/spool")
SEEDS = int(os.environ.get("INGESTD_SPOOL_SEEDS", "400"))
LIVES = 8
# Seeds that have failed once, kept for good.
REGRESSIONS: tuple[int, ...] = ()


class Faults:
    """Makes calls fail with EIO now and then, and stops the machine after a number of calls."""

    def __init__(self, fs: FakeFs, rng: random.Random) -> None:
        self.rate = 0.0
        self.calls_left: int | None = None
        self._rng = rng
        fs.before_call = self._before

    def _before(self, call: str, name: str) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise CrashError
        fallible = call in ("fdatasync", "sync_directory", "pwritev", "truncate", "unlink", "create_new")
        if fallible and self._rng.random() < self.rate:
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)


class Oracle:
    """What must be in the spool, and what may be."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, Position]] = []  # what reading gives now
        self.confirmed: set[bytes] = set()
        self.maybe: set[bytes] = set()  # appends that failed or were cut off by a crash
        self.released: set[bytes] = set()
        self.maybe_released = Position(0, 0)  # a release that failed or was cut off by a crash
        self.last = Position(0, 0)

    def appended(self, payloads: list[bytes], end: Position) -> None:
        self.maybe.difference_update(payloads)
        sizes = [FRAME_HEADER_SIZE + len(payload) for payload in payloads]
        first = Position(end.segment, end.offset - sum(sizes))
        assert first >= self.last, "a position was used twice"
        self.last = end
        for payload, size in zip(payloads, sizes, strict=True):
            first = Position(first.segment, first.offset + size)
            self.waiting.append((payload, first))
        self.confirmed.update(payloads)

    def released_to(self, position: Position) -> None:
        self.released.update(payload for payload, end in self.waiting if end <= position)
        self.waiting = [item for item in self.waiting if item[1] > position]

    def check_same_life(self, found: list[Stored]) -> None:
        assert [(entry.payload, entry.end) for entry in found] == self.waiting

    def check_after_restart(self, found: list[Stored]) -> None:
        got = {entry.payload: entry.end for entry in found}
        assert len(got) == len(found), "a payload came twice"
        assert sorted(got.values()) == list(got.values()), "out of order"
        for payload, end in self.waiting:
            if payload in self.confirmed and end > self.maybe_released:
                assert got.get(payload) == end, "missing or moved"
        known = {payload for payload, _end in self.waiting}
        assert not set(got) - known - self.maybe, "invented"
        assert not set(got) & self.released, "released, but back"
        self.waiting = [(entry.payload, entry.end) for entry in found]
        self.last = max(self.last, *got.values(), Position(0, 0))


class Run:
    """One seed: several lives of a spool, each ended by a crash or a clean stop."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.fs = FakeFs(seed)
        self.faults = Faults(self.fs, self.rng)
        self.oracle = Oracle()
        self.count = 0
        self.unconfirmed_parts = 0  # frames and segment headers of failed appends
        self.clock = 1_700_000_000_000

    def spool(self) -> Spool:
        return Spool(DIRECTORY, max_bytes=48_000, segment_bytes=4_000, fs=self.fs, now_ms=self.now)

    def now(self) -> int:
        self.clock += self.rng.choice([-5, 0, 1, 1000])
        return self.clock

    def play(self) -> None:
        for _life in range(LIVES):
            self.faults.calls_left = self.rng.choice([None, self.rng.randrange(1, 120)])
            self.faults.rate = 0.0
            self.fs.space = None
            spool = self.spool()
            try:
                spool.open()
                self.oracle.check_after_restart(read_all(spool, spool.checkpoint, self.rng))
                assert spool.damaged <= self.unconfirmed_parts, "a crash alone was counted as damage"
                for _step in range(self.rng.randrange(40)):
                    self.step(spool)
            except CrashError:
                self.crash()
                continue
            self.faults.calls_left = None
            spool.close()
            if self.rng.random() < 0.5:
                self.crash()

    def crash(self) -> None:
        """Mostly the machine stops, sometimes only the process."""
        self.faults.calls_left = None
        if self.rng.random() < 0.7:
            self.fs.crash()
        else:
            self.fs.kill()

    def step(self, spool: Spool) -> None:
        action = self.rng.choice(["append", "append", "append", "read", "release", "trouble"])
        if action == "append":
            self.append(spool)
        elif action == "read":
            self.oracle.check_same_life(read_all(spool, spool.checkpoint, self.rng))
        elif action == "release":
            self.release(spool)
        else:
            self.faults.rate = self.rng.choice([0.0, 0.0, 0.3])
            self.fs.space = self.rng.choice([None, None, self.rng.randrange(9_000, 40_000)])

    def append(self, spool: Spool) -> None:
        payloads = []
        for _ in range(self.rng.randrange(1, 5)):
            self.count += 1
            size = self.rng.choice([0, 1, 300, 1500])
            payloads.append(b"%d " % self.count + self.rng.randbytes(size))
        # Until it is confirmed, a crash may leave any part of it behind.
        self.oracle.maybe.update(payloads)
        self.unconfirmed_parts += len(payloads) + 1
        try:
            end = spool.append(payloads)
        except SpoolError:
            return
        self.unconfirmed_parts -= len(payloads) + 1
        self.oracle.appended(payloads, end)

    def release(self, spool: Spool) -> None:
        if not self.oracle.waiting:
            return
        position = self.rng.choice(self.oracle.waiting)[1]
        self.oracle.maybe_released = max(position, self.oracle.maybe_released)
        with contextlib.suppress(SpoolError):
            spool.release(position)
        assert spool.checkpoint <= position
        self.oracle.released_to(spool.checkpoint)


def read_all(spool: Spool, position: Position, rng: random.Random) -> list[Stored]:
    found: list[Stored] = []
    while True:
        entries, position = spool.read(position, rng.choice([1, 500, 10_000]))
        if not entries:
            assert position == spool.end
            return found
        found += entries


@pytest.mark.parametrize("start", range(0, SEEDS, 100))
def test_what_was_confirmed_survives_any_crash_and_disk_fault_unaltered(start: int) -> None:
    confirmed = 0
    for seed in (*REGRESSIONS, *range(start, min(start + 100, SEEDS))):
        run = Run(seed)
        try:
            run.play()
        except BaseException:
            print(f"seed {seed}")
            raise
        confirmed += len(run.oracle.confirmed)
    assert confirmed > 1000
