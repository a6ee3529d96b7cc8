"""The platform's own time of an event: its unit, and how far it may be from our clock."""

from __future__ import annotations

from typing import Any

from ingestd.config.source import EventTimeConfig

# From here on a bare number is milliseconds: 10^11 s is the year 5138, 10^11 ms is 1973.
AUTO_MS = 100_000_000_000
_LAST_MS = 10_000_000_000_000  # the year 2286, and 13 digits


class EventClock:
    """Reads one source's event times. `stale_after`, `future_after`: ms."""

    __slots__ = ("future_after", "param", "stale_after", "unit")

    def __init__(self, settings: EventTimeConfig) -> None:
        self.param = settings.param
        self.unit = settings.unit
        self.stale_after = int(min(settings.stale_after * 1000, _LAST_MS)) or _LAST_MS
        self.future_after = int(min(settings.future_after * 1000, _LAST_MS)) or _LAST_MS

    def read(self, value: Any) -> int | None:
        """A time in ms since the epoch; None if it is missing or not a time."""
        if value.__class__ is list:
            value = value[0] if value else None
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if self.unit == "s" or (self.unit == "auto" and number < AUTO_MS):
            number *= 1000
        return number if 0 < number < _LAST_MS else None

    def flag(self, event_at: int, received_at: int) -> str | None:
        """`stale` or `future` for a time out of bounds, else None. Both times in ms."""
        if received_at - event_at > self.stale_after:
            return "stale"
        return "future" if event_at - received_at > self.future_after else None


def read_ns(value: bytes | None) -> int | None:
    """A signed time in ns since the epoch, None unless it is 1 to 13 digits in the raw query."""
    if value is None or not value.isdigit() or len(value) > 13:
        return None
    number = int(value)
    return number * 1_000_000 if number >= AUTO_MS else number * 1_000_000_000
