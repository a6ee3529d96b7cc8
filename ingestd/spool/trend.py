"""Where a number leads: when will the spool be full?"""

from __future__ import annotations

from collections import deque


class Trend:
    """A number over the last minute, and where it leads."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=60)

    def add(self, at: float, value: float) -> None:
        """A point; `at` in seconds."""
        self._points.append((at, value))

    def seconds_to(self, limit: float) -> float:
        """Until the limit is reached at this pace; infinity where it does not grow."""
        if len(self._points) < 2:
            return float("inf")
        (began, first), (at, last) = self._points[0], self._points[-1]
        growth = (last - first) / (at - began) if at > began else 0.0
        return max(0.0, limit - last) / growth if growth > 0 else float("inf")
