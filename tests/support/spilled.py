"""Spill log lines as nginx writes them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

_count = itertools.count(1)


def escape(data: bytes) -> bytes:
    """nginx' `escape=default`."""
    return re.sub(rb"[^ !#-\[\]-~]", lambda found: b"\\x%02X" % found[0][0], data)


def line(
    target: bytes,
    method: bytes = b"GET",
    *,
    body: bytes = b"",
    at_ms: int = 1_795_398_236_727,
    request_id: bytes = b"",
    agent: bytes = b"okhttp/4",
    content_type: bytes = b"-",
    trace: bytes = b"-",
    extra: Mapping[str, bytes] | None = None,
    raw_body: tuple[bytes, bytes] | None = None,
) -> bytes:
    """One line without its newline. `raw_body`: the length and the body as they stand there."""
    length, text = raw_body or ((b"%d" % len(body), escape(body)) if body else (b"-", b"-"))
    fields = [
        b"ingestd-spill-1",
        b"%d.%03d" % divmod(at_ms, 1000),
        request_id or b"%032x" % next(_count),
        b"192.0.2.7",
        method,
        escape(target),
        b"198.51.100.1, 192.0.2.7",
        escape(agent),
        escape(content_type),
        b"-",
        trace,
        length,
        text,
        *(name.encode() + b":" + escape(value) for name, value in (extra or {}).items()),
        b".",
    ]
    return b"\t".join(fields)
