"""What nginx forwards as one request we see as one: every framing case sent raw to the shipped nginx.

A recording socket stands between nginx and the daemon. nginx sends a request to a connection only when the
one before it has been answered, and with a plain Content-Length or no body: so its own count is known without
any parser of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.daemon import Daemon
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.parser_cases import ACCEPTED, REFUSED
from tests.support.parsing import parse_pieces
from tests.support.place import open_place
from tests.support.recording import Recorded, Recorder
from tests.support.wire import connect

CASES = {name: case[0] for name, case in ACCEPTED.items()}
CASES |= {name: case[0] for name, case in REFUSED.items()}
# What nginx hands on in a header's value: everything but what ends its line, and NUL.
PASSED = bytes(byte for byte in range(1, 256) if byte not in b"\r\n")
SOURCES: list[dict[str, object]] = [
    {"name": "a", "path": "/a"},
    {"name": "demo", "path": "/c/demo"},
    {"name": "after", "path": "/after", "reply": {"body": "after-all"}},
]
BEFORE = b"GET /c/demo?before=1 HTTP/1.1\r\nHost: x\r\n\r\n"
AFTER = b"GET /after?last=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Sent(NamedTuple):
    """One request as nginx put it on the wire."""

    method: bytes
    target: bytes
    body: bytes


class Chain:
    """nginx, the recording socket and the daemon."""

    def __init__(self, daemon: Daemon, nginx: Nginx, recorder: Recorder) -> None:
        self.daemon = daemon
        self.nginx = nginx
        self.recorder = recorder
        self._events = 0

    def send(self, data: bytes) -> bytes:
        """Send bytes as one client; what came back until nginx closed or had answered `AFTER`."""
        with connect(self.nginx.address) as sock:
            sock.sendall(data)
            received = b""
            while not received.endswith(b"after-all") and (piece := sock.recv(1 << 16)):
                received += piece
        return received

    def since(self, places: list[int]) -> list[Recorded]:
        """What was recorded on each connection since it had so many pieces."""
        fresh = []
        for number, record in enumerate(self.recorder.connections):
            known = places[number] if number < len(places) else 0
            if record.pieces[known:]:
                fresh.append(Recorded(record.pieces[known:]))
        return fresh

    def places(self) -> list[int]:
        return [len(record.pieces) for record in self.recorder.connections]

    def turns(self) -> int:
        return sum(record.turns for record in self.recorder.connections)

    def fresh_events(self) -> list[dict[str, Any]]:
        events = self.daemon.events()
        fresh, self._events = events[self._events :], len(events)
        return fresh


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    need_nginx()
    with (
        open_place() as place,
        Daemon(place, sources=SOURCES) as daemon,
        Recorder(place / "recorder.sock", daemon.socket) as recorder,
    ):
        nginx = Nginx(place, [recorder.path])
        site = place / "site.conf"  # what never ends must not take the test's time
        text = re.sub(r"(client_(?:header|body)_timeout) \d+s", r"\1 1s", site.read_text())
        site.write_text(text)
        with nginx:
            yield Chain(daemon, nginx, recorder)


def on_the_wire(record: Recorded) -> list[Sent]:
    """The requests in what nginx sent, told by the plain framing it uses."""
    requests, rest = [], record.data
    while rest:
        head, end, rest = rest.partition(b"\r\n\r\n")
        assert end, f"nginx sent half a head: {head!r}"
        line, *fields = head.split(b"\r\n")
        method, target, version = line.split(b" ")
        assert version == b"HTTP/1.1"
        named = [(name.lower(), value) for name, _, value in (field.partition(b": ") for field in fields)]
        assert not [name for name, _ in named if name == b"transfer-encoding"], head
        lengths = [int(value) for name, value in named if name == b"content-length"]
        assert len(lengths) <= 1, head
        size = sum(lengths)
        requests.append(Sent(method, target, rest[:size]))
        rest = rest[size:]
    return requests


def as_events(requests: list[Sent]) -> list[tuple[str, str]]:
    """Those a source takes, as method and path."""
    found = []
    for method, target, _ in requests:
        path = target.partition(b"?")[0].decode("latin-1")
        if method in (b"GET", b"POST") and re.match(r"(/a|/c/demo|/after)(/|$)", path):
            found.append((method.decode(), path))
    return sorted(found)


@pytest.mark.parametrize("case", CASES)
def test_we_see_the_requests_nginx_sends_and_no_others(chain: Chain, case: str) -> None:
    places, turns = chain.places(), chain.turns()
    received = chain.send(BEFORE + CASES[case] + AFTER)
    records = chain.since(places)
    sent = [request for record in records for request in on_the_wire(record)]
    assert len(sent) == chain.turns() - turns, "nginx counts its requests otherwise"
    assert Sent(b"GET", b"/c/demo?before=1", b"") in sent
    seen: list[Sent] = []
    for record in records:
        outcome = parse_pieces(record.pieces, any_value=True)
        assert (outcome.refused, outcome.open) == (None, False), record.data
        seen += [Sent(request.method, request.target, request.body) for request in outcome.requests]
    assert seen == sent
    events = chain.fresh_events()
    assert sorted((event["method"], event["path"]) for event in events) == as_events(sent)
    asked = [request for request in sent if b"smuggled" in request.target]
    assert len([event for event in events if "smuggled" in event["params"]]) == len(asked)
    assert received.startswith(b"HTTP/1.1 200 ")


def test_a_body_that_is_a_request_stays_a_body_through_nginx(chain: Chain) -> None:
    smuggled = b"GET /c/demo?smuggled=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    length = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(smuggled), smuggled)
    chunks = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    chain.fresh_events()
    chain.send(length + chunks % (len(smuggled), smuggled) + AFTER)
    events = chain.fresh_events()
    assert [event["path"] for event in events] == ["/a", "/a", "/after"]
    assert [event.get("body") for event in events[:2]] == [smuggled.decode()] * 2


@pytest.mark.parametrize("name", ["User-Agent", "X-Forwarded-For", "Referer", "Content-Type", "traceparent"])
def test_no_byte_in_a_headers_value_costs_a_click(chain: Chain, name: str) -> None:
    chain.fresh_events()
    one = b"GET /c/demo?n=%d HTTP/1.1\r\nHost: x\r\n%s: a%cb\r\n\r\n"
    received = chain.send(b"".join(one % (byte, name.encode(), byte) for byte in PASSED) + AFTER)
    assert received.count(b"HTTP/1.1 200 ") == len(PASSED) + 1
    *events, _ = chain.fresh_events()
    assert [event["params"]["n"] for event in events] == [str(byte) for byte in PASSED]
    field = {"User-Agent": "user_agent", "X-Forwarded-For": "forwarded_for"}.get(name)
    if field is not None:
        values = [event[field].encode("latin-1").partition(b", ")[0] for event in events]
        assert values == [b"a%cb" % byte for byte in PASSED], "kept as it was sent"
        odd = [event["params"]["n"] for event in events if event["flags"] == ["header_not_utf8"]]
        assert odd == [str(byte) for byte in range(0x80, 0x100)]


def test_controls_in_a_headers_value_end_no_header_and_no_request(chain: Chain) -> None:
    """The framing of what follows is as before: a length, a body with a request in it, another request."""
    smuggled = b"GET /c/demo?smuggled=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nA: %c\r\nUser-Agent: %c\r\nContent-Length: %d\r\n\r\n%s"
    chain.fresh_events()
    received = chain.send(b"".join(head % (one, one, len(smuggled), smuggled) for one in PASSED) + AFTER)
    assert received.count(b"HTTP/1.1 200 ") == len(PASSED) + 1
    events = chain.fresh_events()
    assert [event["path"] for event in events] == ["/a"] * len(PASSED) + ["/after"]
    assert [event.get("body") for event in events[:-1]] == [smuggled.decode()] * len(PASSED)
