"""Seeds that have found something: a storm begins with them.

The scheduler has a part in each, so none is a proof; the cause has a test of its own.
"""

from __future__ import annotations

# seed, sinks and steps, as the command takes them, and what they found
KEPT: tuple[tuple[int, str, int], ...] = (
    (118, "any", 14),  # what a failing disk did not release stayed in the spool until the next event
    (3001, "any", 14),  # a clock a day ahead: Kafka refused each record, and the spool did not drain
)
