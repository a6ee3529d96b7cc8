"""Seeds that have found something, kept as cases."""

from __future__ import annotations

# seed, sinks and steps, as the command takes them, and what they found
KEPT: tuple[tuple[int, str, int], ...] = ()
