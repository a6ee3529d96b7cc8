"""The bytes, events and values that one request may become, checked before they are made.

An array repeats the query and the headers in every event, compression hides bytes, and JSON writes a control
character as six. So a request is bounded twice: by `max_lines`, and by a multiple of its bytes as received.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ingestd.errors import RequestRefusedError

# Bytes a request may become however short it is: a small array of events with a small query.
FLOOR: Final = 256 * 1024
# Bytes of a line beside its parts: the fixed keys, ids and times.
FIXED: Final = 160
# What JSON writes as `\u00xx`: six bytes for one.
_CONTROLS: Final = bytes(sorted({*range(32)} - {*b"\t\n\r"}))


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one request, from [ingest].

    `inflated`: bytes of a body, decompressed. `lines`: bytes of all lines. `expansion`: bytes of either for
    each byte of target and body as received, beyond FLOOR. `events`: lines. `values`: names and values of a
    form, or of JSON.
    """

    inflated: int = 8 << 20
    lines: int = 8 << 20
    expansion: int = 256
    events: int = 10_000
    values: int = 100_000

    def allowance(self, received: int) -> int:
        """Bytes of lines that a request of `received` bytes may become."""
        return min(self.lines, max(FLOOR, received * self.expansion))


def text_size(body: bytes, limit: int) -> int:
    """Bytes of a body as a JSON text (at most about twice that); counted only where it might pass `limit`."""
    if 6 * len(body) <= limit:
        return len(body)
    return len(body) + 5 * (len(body) - len(body.translate(None, _CONTROLS)))


def check(size: int, allowed: int) -> None:
    """Raises RequestRefusedError for more bytes than are allowed."""
    if size > allowed:
        raise RequestRefusedError("expands_too_much")
