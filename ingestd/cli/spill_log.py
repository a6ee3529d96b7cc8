"""The spill log: the requests that nginx answered itself because no instance did, one line each.

A line has nginx's `log_format ... escape=default`: fields between tabs, in which nginx writes `"`, `\\` and
every byte outside 32..126 as `\\xHH`, and `-` for a missing value. It begins with a mark and ends with a dot,
so that a torn line is recognised. `ingestd nginx` makes the format from `FIELDS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ingestd.errors import IngestdError
from ingestd.file.compression import UNREADABLE, open_plain
from ingestd.http.request import Headers

MARK = b"ingestd-spill-1"
END = b"."
NONE = b"-"

# nginx's variables in the order of the fields. X-Forwarded-For as nginx would have passed it on.
FIELDS = (
    "$msec", "$request_id", "$remote_addr", "$request_method", "$request_uri", "$proxy_add_x_forwarded_for",
    "$http_user_agent", "$http_content_type", "$http_content_encoding", "$http_traceparent",
    "$content_length", "$request_body",
)  # fmt: skip
# The headers among them, by their place; whatever follows FIELDS is `Name:value`.
_HEADERS = {
    5: b"X-Forwarded-For", 6: b"User-Agent", 7: b"Content-Type", 8: b"Content-Encoding", 9: b"traceparent",
}  # fmt: skip

# Longer than nginx writes one: a target, headers and a body at their limits, four characters a byte.
MAX_LINE = 4 << 20
_ESCAPE = re.compile(rb"\\x([0-9A-F]{2})")
_FOREIGN = re.compile(rb"[^ !#-~]|\\(?!x[0-9A-F]{2})")
_MSEC = re.compile(rb"([1-9]\d{9})\.(\d{3})")  # as many digits as an event's `received_at` has
_ID = re.compile(rb"[0-9a-f]{32}")


class BadLineError(IngestdError):
    """A line is not one that nginx writes; the message is the reason in a few words."""


class Spilled(NamedTuple):
    """One request. `at_ms`: when nginx answered, ms since the epoch. `request_id`: nginx', 32 hex digits."""

    at_ms: int
    request_id: bytes
    client_ip: str
    method: bytes
    target: bytes
    headers: Headers
    body: bytes


def unescape(field: bytes) -> bytes:
    """The bytes of a field as they were received. Raises BadLineError if nginx cannot have written it."""
    if _FOREIGN.search(field):
        raise BadLineError("bad escape")
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), field) if b"\\" in field else field


def parse(line: bytes) -> Spilled:
    """The request of a line (without its newline). Raises BadLineError."""
    mark, *raw = line.split(b"\t")
    if mark != MARK or len(raw) <= len(FIELDS) or raw[-1] != END:
        raise BadLineError("torn or foreign line")
    values = [unescape(one) for one in raw[:-1]]
    at = _MSEC.fullmatch(values[0])
    if at is None or not _ID.fullmatch(values[1]) or not values[4].startswith(b"/"):
        raise BadLineError("bad time, id or target")
    headers = Headers()
    named = [(name, values[place]) for place, name in _HEADERS.items()]
    for extra in values[len(FIELDS) :]:
        name, _, value = extra.partition(b":")
        named.append((name, value))
    headers.update((name, value) for name, value in named if value not in (NONE, b""))
    return Spilled(
        int(at[1] + at[2]), values[1], values[2].decode("latin-1"), values[3], values[4], headers,
        _body(values[10], values[11]),
    )  # fmt: skip


def _body(length: bytes, body: bytes) -> bytes:
    """The body; `-` stands for an empty one, or for itself. Raises BadLineError for a wrong length."""
    if length == NONE:  # no body, or chunked
        return b"" if body == NONE else body
    if body == NONE and length == b"0":
        return b""
    if not length.isdigit() or int(length) != len(body):
        raise BadLineError("incomplete body")
    return body


def rescue(line: bytes) -> tuple[bytes, Spilled] | None:
    """Find a whole line behind a torn one. Returns the torn bytes and the request, or None.

    A write that failed half-way (disk full) leaves no newline, so the next line follows at once. Tabs from
    outside are escaped, so a mark with a tab behind it begins a line.
    """
    place = line.rfind(MARK + b"\t")
    if place <= 0:
        return None
    try:
        return line[:place], parse(line[place:])
    except BadLineError:
        return None


def read(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or compressed, with their newline; only the last may have none.

    A line longer than MAX_LINE comes in pieces. Raises IngestdError.
    """
    try:
        with open_plain(path) as plain:
            while line := plain.readline(MAX_LINE):
                yield line
    except UNREADABLE as error:
        raise IngestdError(f"{path}: {error}") from error
