"""The duplicate window: recognises repeats exactly among the last `capacity` different keys.

Memory for each key: 64 bytes for the key, 16 for its place and time, 27 to 107 for the look-up, which grows
by doubling. That is 107 to 187 bytes, of which 16 are allocated at the start. Nothing survives a restart.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

# The look-up is divided into this many sets: growing one set of a million keys would take 30 ms.
SHARDS = 256


class DuplicateWindow:
    """Keys in the order in which they were first seen; the oldest is evicted, repeated or not.

    `capacity`: keys held at most. Keys are 16 bytes of a hash.
    """

    __slots__ = ("_keys", "_next", "_seen", "_times", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._keys: list[bytes | None] = [None] * capacity
        self._times = array("q", bytes(8 * capacity))
        self._seen: tuple[set[bytes], ...] = tuple(set() for _ in range(SHARDS))
        self._next = 0

    def add(self, key: bytes, now_ms: int) -> int:
        """Remember a key and return its place, or -1 if it was remembered already: a repeat."""
        seen = self._seen[key[0]]
        if key in seen:
            return -1
        place, keys = self._next, self._keys
        oldest = keys[place]
        if oldest is not None:
            self._seen[oldest[0]].discard(oldest)
        seen.add(key)
        keys[place] = key
        self._times[place] = now_ms
        self._next = place + 1 if place + 1 < self.capacity else 0
        return place

    def forget(self, remembered: Iterable[tuple[int, bytes]]) -> None:
        """Take keys back, by place and key: their events were refused, so a repeat of them is none."""
        for place, key in remembered:
            if self._keys[place] == key:
                self._keys[place] = None
                self._seen[key[0]].discard(key)

    @property
    def size(self) -> int:
        """The number of keys remembered now, at most `capacity`."""
        return sum(map(len, self._seen))

    def reach(self, now_ms: int) -> float:
        """The age of the oldest remembered key in seconds; no younger repeat is missed. 0 while empty."""
        oldest = self._times[self._next] or self._times[0]
        return max(0.0, (now_ms - oldest) / 1000) if oldest else 0.0
