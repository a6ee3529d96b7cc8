"""From nginx' spilled requests to events: through the sources, as the requests themselves would have gone."""

from __future__ import annotations

import secrets
import socket
from collections import Counter

from xxhash import xxh3_128_intdigest

from ingestd import config
from ingestd.cli import spill_log
from ingestd.cli.spill_log import BadLineError, Spilled
from ingestd.errors import RequestRefusedError
from ingestd.event import ID_SLICE, Entry
from ingestd.http.request import Exchange, Request
from ingestd.pipeline.counters import Counters
from ingestd.sources import factory
from ingestd.sources.router import Router

FLAG = b'"spilled"'


class Converter:
    """From spilled requests to events, by the configured sources."""

    def __init__(self, settings: config.Config) -> None:
        # nginx has said yes already: no source's max_rate can refuse it now.
        unbounded = tuple(source.model_copy(update={"max_rate": 0.0}) for source in settings.source)
        # Sources write their node behind the flags; by one nobody can guess the true end of these is found.
        self._mark = secrets.token_hex(16)
        node = f"{socket.gethostname()}/{settings.ingest.instance}"
        self._node = b',"node":"%s"' % node.encode()
        sources = factory.build(settings.model_copy(update={"source": unbounded}), Counters(), self._mark)
        self._router = Router(sources)

    def entry(self, spilled: Spilled) -> Entry:
        """Its events. Raises RequestRefusedError where ingestd would have refused it."""
        request, entry = Request(spilled.method, spilled.target, spilled.headers, spilled.body), Exchange()
        request.client_ip = spilled.client_ip
        entry.received_ns = request.received_ns = spilled.at_ms * 1_000_000
        source = self._router.route(request)
        if source is None:
            raise RequestRefusedError("not_found")
        if request.method not in source.methods:
            raise RequestRefusedError("method")
        source.take(request, entry)
        lines = enumerate(entry.data.splitlines(True))
        entry.data = b"".join(self._marked(line, event_id(spilled, part)) for part, line in lines)
        return entry

    def _marked(self, line: bytes, identity: bytes) -> bytes:
        before, _, after = line.partition(b',"node":"%s"' % self._mark.encode())
        comma = b"" if before.endswith(b"[]") else b","
        line = b"".join((before[:-1], comma, FLAG, b"]", self._node, after))
        return line[: ID_SLICE.start] + identity + line[ID_SLICE.stop :]


def event_id(request: Spilled, part: int) -> bytes:
    """A UUIDv7 of the spill's time whose other bits follow from nginx' request id and the event's number."""
    digest = xxh3_128_intdigest(b"%s/%d" % (request.request_id, part))
    number = (request.at_ms & (1 << 48) - 1) << 80 | 7 << 76 | (digest >> 64 & 0xFFF) << 64
    number |= 0b10 << 62 | digest & (1 << 62) - 1
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()


class Round:
    """The events of a spill file's lines `first` to `last` (exclusive), and the lines to quarantine."""

    def __init__(self, first: int) -> None:
        self.first = self.last = first
        self.entries: list[Entry] = []
        self.size = 0
        self.bad: list[bytes] = []
        self.reasons: Counter[str] = Counter()

    def add(self, line: bytes, converter: Converter) -> None:
        """Add one line with its newline; if a torn one precedes a whole one, only that is quarantined."""
        self.last += 1
        try:
            self._take(spill_log.parse(line.removesuffix(b"\n")), line, converter)
        except BadLineError as error:
            rescued = spill_log.rescue(line.removesuffix(b"\n"))
            if rescued is None:
                self.quarantine(line, str(error))
            else:
                self.quarantine(rescued[0] + b"\n", str(error))
                self._take(rescued[1], line, converter)

    def _take(self, request: Spilled, line: bytes, converter: Converter) -> None:
        try:
            entry = converter.entry(request)
        except RequestRefusedError as error:
            self.quarantine(line, f"refused, {error.reason}")
        else:
            self.entries.append(entry)
            self.size += len(entry.data)

    def quarantine(self, line: bytes, reason: str) -> None:
        """Keep a line that cannot be used for the `.bad` file."""
        self.bad.append(line)
        self.reasons[reason] += 1
