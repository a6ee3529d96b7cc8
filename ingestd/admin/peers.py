"""The other instances of this machine, asked through this one: the page needs a single address.

Only GET, only the paths of the page's data, only addresses that the configuration names (`admin.peers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from urllib.parse import parse_qs, urlencode

from ingestd.admin.server import PRIVATE, Handler, Stream, problem
from ingestd.config.types import each_address
from ingestd.errors import IngestdError
from ingestd.http.responses import Reply

# Seconds for a whole answer, and until a connection stands.
TIMEOUT, CONNECT_TIMEOUT = 5.0, 1.0
# The table of 10,000 sources has about 500 KB.
MAX_ANSWER = 8 << 20
PIECE = 64 << 10
# Answers without an end.
STREAMS = ("/api/clicks",)
_STATUS = re.compile(r"HTTP/1\.[01] ([1-5]\d\d)\b")


class PeerError(IngestdError):
    """The instance at an address did not answer as one does."""


class Peers:
    """All instances by number, in the order of the configuration; this one is among them."""

    def __init__(self, own: str, peers: Sequence[str]) -> None:
        addresses = list(dict.fromkeys(one for peer in peers for one in each_address(peer)))
        self.addresses = addresses if own in addresses else [own, *addresses]
        self.own = self.addresses.index(own)

    async def get(self, number: int, target: str) -> Reply:
        """The answer of an instance, to be handed on. Raises PeerError."""
        address = self.addresses[number]
        try:
            async with asyncio.timeout(TIMEOUT), _asked(address, target) as (status, kind, reader):
                body = await reader.read(MAX_ANSWER + 1)
                while len(body) <= MAX_ANSWER and (more := await reader.read(PIECE)):
                    body += more
        except (OSError, TimeoutError, ValueError) as error:
            raise PeerError(f"{address}: {_reason(error)}") from error
        if len(body) > MAX_ANSWER:
            raise PeerError(f"{address}: an answer of more than {MAX_ANSWER} bytes")
        return Reply(status, body, kind, PRIVATE)

    async def stream(self, number: int, target: str) -> AsyncGenerator[bytes, None]:
        """The pieces of an endless answer, as they come; it ends where the instance does."""
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with _asked(self.addresses[number], target) as (status, _, reader):
                while status == 200 and (piece := await reader.read(PIECE)):
                    yield piece

    def streamed(self, number: int, target: str) -> Stream:
        """The same as a reply."""
        return Stream("application/x-ndjson", self.stream(number, target))


def relaying(known: Callable[[], Peers], path: str, handler: Handler) -> Handler:
    """The handler, or where the query says `instance=N`, the answer of that instance to the same question."""

    async def handle(query: str) -> Reply | Stream:
        asked = parse_qs(query, keep_blank_values=True)
        [number] = asked.pop("instance", [""])[-1:]
        peers = known()
        if not number or number == str(peers.own):
            return await handler(query)
        if not number.isdigit() or int(number) >= len(peers.addresses):
            return problem(404, "no such instance")
        target = f"{path}?{urlencode(asked, doseq=True)}"
        if path in STREAMS:
            return peers.streamed(int(number), target)
        try:
            return await peers.get(int(number), target)
        except PeerError as error:
            return problem(502, str(error))

    return handle


@contextlib.asynccontextmanager
async def _asked(address: str, target: str) -> AsyncGenerator[tuple[int, str, asyncio.StreamReader], None]:
    """Status, content type, and where the body is read. Raises OSError, TimeoutError, ValueError."""
    kind, _, rest = address.partition(":")
    async with asyncio.timeout(CONNECT_TIMEOUT):
        if kind == "unix":
            reader, writer = await asyncio.open_unix_connection(rest)
        else:
            host, _, port = rest.rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(TIMEOUT):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = ""
        first, *lines = head.split("\r\n")
        if (found := _STATUS.match(first)) is None:
            raise ValueError("not an answer in HTTP")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        yield int(found[1]), fields.get("content-type", "text/plain"), reader
    finally:
        writer.close()


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
