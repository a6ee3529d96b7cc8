"""Sources made of TOML, as a configuration has them, and requests taken by them without a daemon."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ingestd import config
from ingestd.http.parser import Headers
from ingestd.http.responses import Reply
from ingestd.pipeline.counters import Counters, SourceCounters
from ingestd.sources import factory
from ingestd.sources.responses import Answering
from ingestd.sources.router import Match, Router
from ingestd.sources.source import Source

BASE = "https://trk.example.com"
NOW_MS = 1_718_000_010_000  # ten seconds after the sample callbacks' clicks
CLIENT = "198.51.100.23"
HEADERS = {"User-Agent": "platform/1.0", "X-Forwarded-For": "198.51.100.23"}


@dataclass(frozen=True)
class Taken:
    """What became of one request."""

    events: list[dict[str, Any]]
    lines: bytes
    answering: Answering | None
    source: Source

    @property
    def event(self) -> dict[str, Any]:
        """The one event."""
        (event,) = self.events
        return event

    @property
    def reply(self) -> Reply:
        return self.source.reply if self.answering is None else self.answering.reply


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

    def match(self, path: bytes) -> Match:
        found = self._router.match(path)
        assert found is not None, path
        return found

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
        path, _, raw = target.partition(b"?")
        match = self.match(path)
        fields = Headers()
        for name, value in {**HEADERS, **(headers or {})}.items():
            fields[name.encode()] = value if isinstance(value, bytes) else value.encode()
        lines, count, answering = match.source.events(
            method or (b"POST" if body else b"GET"),
            match.path,
            match.route,
            raw,
            fields,
            body,
            client,
            self.now_ms * 1_000_000,
        )
        events = [json.loads(line) for line in lines.splitlines()]
        assert count == len(events)
        assert lines.endswith(b"\n")
        return Taken(events, lines, answering, match.source)


def one(profile: str, more: str = "", place: Path = Path(), path: str = "/c/x") -> Desk:
    """A desk with one source of a profile; `more`: further keys."""
    return Desk(f'[[source]]\nname = "x"\npath = "{path}"\nprofile = "{profile}"\n{more}\n', place)


def secret(place: Path, name: str, text: str) -> str:
    """A file with a secret, and its name."""
    (place / name).write_text(text + "\n")
    return name
