"""Feeds the compiled request recognizer, built with the sanitizers, with made-up requests.

What it recognizes must be what httptools reads from the same bytes: one whole request, with the same method,
target, headers and body, that keeps its connection. For ten minutes (gcc with libasan, or clang):

    nice python -m tests.commands.fuzz_head --seconds 600

A failing request and its seed are printed; exit status 1.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import httptools

from ingestd import http
from tests.support import compiled

SOURCE = Path(http.__file__).with_name("_head.c")
VARIANTS = {"as built": (), "few headers": ("-DMAX_FIELDS=4",)}

_PRINTABLE = bytes(range(0x21, 0x7F))
_NAMES = (
    b"Host", b"X-Real-IP", b"X-Forwarded-For", b"User-Agent", b"Accept", b"traceparent", b"Content-Type",
    b"content-length", b"Content-Length", b"Connection", b"Expect", b"Upgrade", b"Transfer-Encoding",
    b"Proxy-Connection", b"x-real-ip", b"a", b"!#$%&'*+-.^_`|~9Z", b"", b"na me", b"na:me", b"n\xc3\xa4me",
)  # fmt: skip
_VALUES = (
    b"x", b"1.2.3.4", b"Mozilla/5.0 (x; y) z", b"0", b"3", b"03", b"+3", b"3, 3", b"999999999", b"9999999999",
    b"close", b"keep-alive", b"chunked", b"100-continue", b"", b" ", b" x", b"x ", b"\tx", b"x\ty", b"\x7f",
    b"\xe4\xbd\xa0", b"a: b", b'"', b"\x00",
)  # fmt: skip
_DAMAGE = (b"", b" ", b"\r", b"\n", b"\r\n", b"\x00", b":", b"\t", b"#", b"?", b"\xff", b"%", b"HTTP/1.1")


def requests(rng: random.Random) -> Iterator[bytes]:
    """Made-up requests without end: plain ones, damaged in a place or two, cut, and two at once."""
    while True:
        target = b"/" + bytes(rng.choices(_PRINTABLE, k=rng.randrange(12)))
        method = rng.choice((b"GET", b"GET", b"GET", b"POST", b"HEAD", b"get", b"PUT"))
        version = rng.choice((b"1.1", b"1.1", b"1.1", b"1.1", b"1.0", b"1.2", b"2.0"))
        plain = rng.random() < 0.5
        fields = (
            rng.sample(_NAMES[:7], rng.randrange(6)) if plain else rng.choices(_NAMES, k=rng.randrange(6))
        )
        lines = [name + b": " + rng.choice(_VALUES[:3] if plain else _VALUES) for name in fields]
        body = b""
        if method == b"POST":
            body = rng.randbytes(rng.randrange(5))
            length = len(body) if rng.random() < 0.8 else rng.randrange(6)
            lines.insert(rng.randrange(len(lines) + 1), b"Content-Length: %d" % length)
        head = b"\r\n".join([b"%s %s HTTP/%s" % (method, target, version), *lines])
        data = head + b"\r\n\r\n" + body
        yield data
        yield data + data
        yield data[: rng.randrange(len(data) + 1)]
        for _ in range(rng.randrange(1, 4)):
            start = rng.randrange(len(data) + 1)
            data = data[:start] + rng.choice(_DAMAGE) + data[start + rng.choice((0, 0, 1, 2)) :]
        yield data


class Record:
    """What httptools reads."""

    def __init__(self) -> None:
        self.targets: list[bytes] = []
        self.headers: dict[bytes, bytes] = {}
        self.bodies: list[bytes] = []
        self.messages = 0
        self.on_url = self.targets.append
        self.on_header = self.headers.__setitem__
        self.on_body = self.bodies.append

    def on_message_complete(self) -> None:
        self.messages += 1


def read(data: bytes, *, lenient: bool) -> tuple[object, ...] | None:
    """Messages, method, target, headers, body, version, keep-alive and upgrade; None where it is an error."""
    record = Record()
    parser = httptools.HttpRequestParser(record)
    if lenient:  # as behind nginx: RequestParser.take_any_value
        parser.set_dangerous_leniencies(lenient_headers=True)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    return (
        record.messages, parser.get_method(), b"".join(record.targets), record.headers,
        b"".join(record.bodies), parser.get_http_version(), parser.should_keep_alive(),
        parser.should_upgrade(),
    )  # fmt: skip


@contextmanager
def checking(module: ModuleType) -> Iterator[Callable[[bytes], bool]]:
    """What is recognized is what httptools reads, strictly and leniently; and whether it was recognized."""

    def check(data: bytes) -> bool:
        headers: dict[bytes, bytes] = {}
        parts = module.recognize(data, headers)
        if parts is None:
            assert headers == {}, f"{data!r}: {headers!r}"
            return False
        method, target, body = parts
        wanted = (1, method, target, headers, body, "1.1", True, False)
        for lenient in (False, True):
            assert read(data, lenient=lenient) == wanted, f"{data!r}: {parts!r} {headers!r}"
        return True

    yield check


PART = compiled.Fuzzed(
    SOURCE, VARIANTS, requests, checking, "{count} requests, {own} recognized, all as httptools reads them"
)

if __name__ == "__main__":
    sys.exit(compiled.main(__spec__.name, __doc__, PART))
