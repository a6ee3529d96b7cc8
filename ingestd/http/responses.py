"""HTTP responses as ready-made bytes, and the one table from a refusal's reason to its status.

A response is rendered when the configuration is read, and afterwards only written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

ALLOW = "GET, HEAD, POST"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Reply:
    """One response in the four forms a connection may need: keep or close, with its body or without.

    `keep`: the usual form, keep-alive with the body. There is no `Date` header: nginx writes its own.
    """

    __slots__ = ("close", "head_close", "head_keep", "keep", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "text/plain",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.status = status
        lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
        if status in (204, 304):  # a client would take a body for the next response
            body = b""
        else:
            lines.append(f"Content-Length: {len(body)}")
        if body:
            lines.append(f"Content-Type: {content_type}")
        lines.extend(f"{name}: {value}" for name, value in headers)
        head = ("\r\n".join(lines) + "\r\n").encode("latin-1")
        self.head_keep = head + b"\r\n"
        self.head_close = head + b"Connection: close\r\n\r\n"
        self.keep = self.head_keep + body
        self.close = self.head_close + body

    def form(self, *, head: bool, keep_alive: bool) -> bytes:
        """The bytes to write. `head`: without the body; not `keep_alive`: with `Connection: close`."""
        if head:
            return self.head_keep if keep_alive else self.head_close
        return self.keep if keep_alive else self.close


class Replies:
    """The replies to a request: `stored` once its events are stored, else one of `refusals`, by its reason.

    `undo`, unless it is None, is called if they were not stored.
    """

    __slots__ = ("refusals", "stored", "undo")

    def __init__(
        self, stored: Reply, refusals: Mapping[str, Reply], undo: Callable[[], None] | None = None
    ) -> None:
        self.stored = stored
        self.refusals = refusals
        self.undo = undo


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a source may configure a status that is not registered
        return "Status"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The response to one reason. `close`: the connection is closed, as what follows cannot be parsed."""

    status: int
    text: str
    close: bool = False
    headers: tuple[tuple[str, str], ...] = ()


RETRY = (("Retry-After", "1"),)

# Every reason, which is also a metric's label. If the source is known those with status 503 are answered in
# its own overload form (`on_overload`); the status here is the default.
REFUSALS: dict[str, Refusal] = {
    "bad_request": Refusal(400, "malformed HTTP request", close=True),
    "host": Refusal(400, "HTTP/1.1 needs one Host header, and only one", close=True),
    "bad_length": Refusal(400, "conflicting or bad Content-Length or Transfer-Encoding", close=True),
    "signature": Refusal(403, "the signature is missing or wrong"),
    "not_found": Refusal(404, "no source takes this path"),
    "method": Refusal(405, f"method not allowed, use {ALLOW}", headers=(("Allow", ALLOW),)),
    "unknown_method": Refusal(405, f"unknown method, use {ALLOW}", close=True, headers=(("Allow", ALLOW),)),
    "upgrade": Refusal(400, "an Upgrade with a body is not understood; send it without", close=True),
    "header_timeout": Refusal(408, "the request head took too long", close=True),
    "body_timeout": Refusal(408, "the request body took too long", close=True),
    "body_too_large": Refusal(413, "the body is over the limit", close=True),
    "inflated_too_large": Refusal(413, "the decompressed body is over the limit"),
    "expands_too_much": Refusal(413, "too large as events; send fewer in one body, or a shorter query"),
    "too_many_events": Refusal(413, "too many events in one body; send fewer"),
    "too_many_values": Refusal(413, "too many names and values in one body; send fewer"),
    "target_too_long": Refusal(414, "the request target is over the limit", close=True),
    "encoding": Refusal(415, "unknown Content-Encoding, use gzip, zstd or identity"),
    "bad_encoding": Refusal(400, "the body does not decompress"),
    "expectation": Refusal(417, "only Expect: 100-continue is understood", close=True),
    "headers_too_large": Refusal(431, "the request headers are over the limit", close=True),
    "internal": Refusal(500, "internal error", close=True),
    "connections": Refusal(503, "too many connections", close=True, headers=RETRY),
    "overload": Refusal(503, "busy, try again", headers=RETRY),
    "storage": Refusal(503, "cannot store now, try again", headers=RETRY),
    "stalled": Refusal(503, "storage is stalled, try again", headers=RETRY),
    "clock": Refusal(503, "this machine's clock is wrong, try again", headers=RETRY),
    "max_rate": Refusal(503, "more than the source may send, try again", headers=RETRY),
    "verification": Refusal(503, "more signatures than can be verified, try again", headers=RETRY),
    "version": Refusal(505, "HTTP/1.0 and HTTP/1.1 only", close=True),
}

REFUSAL_REPLIES: dict[str, Reply] = {
    reason: Reply(refusal.status, refusal.text.encode() + b"\n", headers=refusal.headers)
    for reason, refusal in REFUSALS.items()
}


def method_refusal(methods: Iterable[str]) -> Reply:
    """405 with the methods a source takes; HEAD is always one of them."""
    return _method_refusal(", ".join(sorted({*methods, "HEAD"})))


@cache
def _method_refusal(allow: str) -> Reply:
    return Reply(405, f"method not allowed, use {allow}\n".encode(), headers=(("Allow", allow),))
