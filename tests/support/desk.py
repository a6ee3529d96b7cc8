"""Sources made of TOML, as a configuration has them, and requests taken by them without a daemon."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ingestd import config
from ingestd.http.request import Exchange, Headers, Request
from ingestd.http.responses import Replies, Reply
from ingestd.pipeline.counters import Counters, SourceCounters
from ingestd.sources import factory
from ingestd.sources.router import Router

BASE = "https://trk.example.com"
NOW_MS = 1_718_000_010_000  # ten seconds after the sample callbacks' clicks
CLIENT = "198.51.100.23"
HEADERS = {"User-Agent": "platform/1.0", "X-Forwarded-For": "198.51.100.23"}


@dataclass(frozen=True)
class Taken:
    """What became of one request."""

    events: list[dict[str, Any]]
    lines: bytes
    keys: Sequence[bytes | None] | None
    replies: Replies

    @property
    def event(self) -> dict[str, Any]:
        """The one event."""
        (event,) = self.events
        return event

    @property
    def reply(self) -> Reply:
        """Once the events are stored."""
        return self.replies.stored


class Desk:
    """The sources of one configuration. `now_ms`: the clock, ms since the epoch."""

    def __init__(self, sources: str, place: Path = Path(), base: str = BASE) -> None:
        tree = tomllib.loads(f'[ingest]\npublic_base = "{base}"\n{sources}')
        self.config = config.parse(tree, str(place / "test.toml"), {})
        self.counters = Counters()
        self.sources = factory.build(self.config, self.counters, "test/0")
        self._router = Router(self.sources)
        self.now_ms = NOW_MS

    @property
    def demo(self) -> SourceCounters:
        """The first source's counters."""
        return self.sources[0].counters

    def made(self, request: Request, client: str = CLIENT, now_ns: int | None = None) -> Exchange:
        """What a request becomes. Raises RequestRefusedError."""
        source = self._router.route(request)
        assert source is not None, request.target
        request.client_ip, request.received_ns = client, self.now_ms * 1_000_000 if now_ns is None else now_ns
        source.take(request, exchange := Exchange())
        return exchange

    def take(
        self,
        url: str | bytes,
        body: bytes = b"",
        headers: Mapping[str, str | bytes] | None = None,
        method: bytes = b"",
        client: str = CLIENT,
    ) -> Taken:
        """One request. A URL as text is a real one; as bytes it is the target. Raises RequestRefusedError."""
        if isinstance(url, str):
            parts = urlsplit(url)
            target = parts.path.encode() + (b"?" + parts.query.encode() if "?" in url else b"")
        else:
            target = url
        fields = Headers()
        for name, value in {**HEADERS, **(headers or {})}.items():
            fields[name.encode()] = value if isinstance(value, bytes) else value.encode()
        made = self.made(Request(method or (b"POST" if body else b"GET"), target, fields, body), client)
        lines = made.data
        events = [json.loads(line) for line in lines.splitlines()]
        assert made.count == len(events)
        assert lines.endswith(b"\n")
        return Taken(events, lines, made.keys, made.replies)


def one(profile: str, more: str = "", place: Path = Path(), path: str = "/c/x") -> Desk:
    """A desk with one source of a profile; `more`: further keys."""
    return Desk(f'[[source]]\nname = "x"\npath = "{path}"\nprofile = "{profile}"\n{more}\n', place)


def secret(place: Path, name: str, text: str) -> str:
    """A file with a secret, and its name."""
    (place / name).write_text(text + "\n")
    return name
