"""Many, slow, hasty and vanishing clients."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.checks import assert_books_balance, verdict
from tests.support.daemon import Daemon
from tests.support.load import Load
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.oracle import Ledger, build
from tests.support.waiting import at_most, until
from tests.support.wire import Wire, ask, connect, request

IDLE = 10_000
# Bytes of memory a connection that sends nothing may cost the daemon.
PER_CONNECTION = 8192
# Time-outs are told in rounds of half a second.
ROUND = 0.5
LIMITS = {"header_timeout": "1s", "body_timeout": "1s", "idle_timeout": "1s", "max_connections": 8}
GET = request("/c/demo?a=1")


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for the descriptors of ten thousand connections, here and in the daemon that is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 2000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"TOO FEW DESCRIPTORS: {hard} are allowed, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_ten_thousand_idle_connections_and_a_load_are_served(place: Path) -> None:
    need_nginx()
    ledger = Ledger()
    with Daemon(place) as daemon, Nginx(place, [daemon.socket]) as nginx:
        with Load(nginx.address, ledger):
            ledger.wait_for_acks(500)
        before = daemon.resident()
        idle = [connect(daemon.socket) for _ in range(IDLE)]
        until(lambda: daemon.metrics()["connections"] >= IDLE, "all connections")
        each = (daemon.resident() - before) / IDLE
        print(f"{each:.0f} bytes of resident memory a connection")
        with Load(nginx.address, ledger):
            ledger.wait_for_acks(2000)
        assert set(ledger.statuses) == {200}
        for sock in idle[:: IDLE // 50]:  # and each of them is a connection
            sock.sendall(GET)
            assert sock.recv(64).startswith(b"HTTP/1.1 200 ")
        assert each < PER_CONNECTION
        for sock in idle:
            sock.close()
        until(lambda: daemon.metrics()["connections"] < IDLE, "the connections' end")
        assert_books_balance(daemon)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with time-outs of a second and room for eight connections."""
    with Daemon(tmp_path_factory.mktemp("strict"), ingest=LIMITS) as daemon:
        yield daemon


def dribble(wire: Wire, first: bytes, drop: bytes) -> Callable[[], None]:
    """Send `first`, then a drop every tenth of a second until the returned function is called."""
    wire.send(first)
    enough = threading.Event()

    def drip() -> None:
        while not enough.wait(0.1):
            try:
                wire.send(drop)
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()

    def stop() -> None:
        enough.set()
        thread.join()

    return stop


@pytest.mark.parametrize(
    ("first", "drop", "reason"),
    [
        (b"GET /c/demo?a=", b"x", "header_timeout"),
        (b"GET /c/demo HTTP/1.1\r\n", b"X: y\r\n", "header_timeout"),
        (request("/c/demo", "POST", {"Content-Length": "1000"}), b"x", "body_timeout"),
        (request("/c/demo", "POST", {"Transfer-Encoding": "chunked"}), b"1\r\nx\r\n", "body_timeout"),
    ],
)
def test_a_slow_request_is_cut_at_its_time_out_however_steadily_it_drips(
    strict: Daemon, first: bytes, drop: bytes, reason: str
) -> None:
    with Wire(strict.socket) as wire:
        began = time.monotonic()
        stop = dribble(wire, first, drop)
        answer = wire.receive()
        took = time.monotonic() - began
        stop()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert 1 <= took < at_most(1 + 4 * ROUND)
    assert strict.status()["requests_refused"][reason] >= 1


def test_a_slow_second_request_is_cut_too(strict: Daemon) -> None:
    with Wire(strict.socket) as wire:
        wire.send(GET)
        assert wire.receive().status == 200
        wire.send(b"GET /c/de")
        assert wire.receive().status == 408
        assert wire.ended()


def test_an_idle_connection_is_ended_without_a_word(strict: Daemon) -> None:
    with Wire(strict.socket) as wire:
        began = time.monotonic()
        assert wire.ended()
        assert 1 <= time.monotonic() - began < at_most(1 + 4 * ROUND)


def test_one_connection_too_many_is_told_to_try_again(strict: Daemon) -> None:
    until(lambda: strict.status()["connections"] == 0, "the other tests' connections are gone")
    held = [Wire(strict.socket) for _ in range(8)]
    with Wire(strict.socket) as wire:
        wire.send(GET)
        answer = wire.receive()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert wire.ended()
    for one in held:
        one.send(GET)
        assert one.receive().status == 200
        one.close()
    until(lambda: strict.status()["connections"] == 0, "the connections' end")
    with Wire(strict.socket) as wire:
        wire.send(GET)
        assert wire.receive().status == 200


def test_pipelined_requests_are_answered_in_their_order(daemon: Daemon) -> None:
    kinds = [(GET, 200), (request("/nowhere"), 404), (request("/c/demo", "POST", {}, b"[1,2]"), 200)]
    kinds += [(request("/c/demo", "PUT"), 405), (request("/c/demo", "HEAD"), 200)]
    with Wire(daemon.socket) as wire:
        sender = threading.Thread(target=wire.send, args=(b"".join(data for data, _ in kinds) * 400,))
        sender.start()
        for _ in range(400):
            for data, status in kinds:
                assert wire.receive(head=data.startswith(b"HEAD")).status == status
        sender.join()
    assert len(daemon.events()) == 800


def flood(wire: Wire) -> NoReturn:
    """Send requests for ever. Raises TimeoutError once they are not taken any more."""
    while True:
        wire.send(GET * 1000)


def test_a_client_that_reads_no_reply_costs_no_memory_and_harms_nobody(daemon: Daemon) -> None:
    with Wire(daemon.socket) as greedy:
        greedy.sock.settimeout(2)
        before = daemon.resident()
        with pytest.raises(TimeoutError):  # sooner or later no more is taken of it
            flood(greedy)
        assert daemon.resident() - before < 32 << 20
        with Wire(daemon.socket) as other:
            other.send(GET)
            assert other.receive().status == 200


def test_a_client_that_is_gone_before_the_reply_has_its_event_stored(daemon: Daemon) -> None:
    for _ in range(50):
        with Wire(daemon.socket) as wire:
            wire.send(GET)
    until(lambda: daemon.status()["sources"]["demo"]["stored"] == 50, "fifty events")
    assert len(daemon.events()) == 50
    assert_books_balance(daemon)
    assert "bug" not in daemon.log()


def test_a_client_that_closes_its_half_still_gets_its_reply(daemon: Daemon) -> None:
    with Wire(daemon.socket) as wire:
        wire.send(GET)
        wire.sock.shutdown(socket.SHUT_WR)
        assert wire.receive().status == 200
        assert wire.ended()


def test_half_a_request_and_an_end_make_no_event(daemon: Daemon) -> None:
    for half in (b"GET /c/demo?a=1 HTTP/1.1\r\n", request("/c/demo", "POST", {"Content-Length": "9"}) + b"{"):
        with Wire(daemon.socket) as wire:
            wire.send(half)
            wire.sock.shutdown(socket.SHUT_WR)
            assert wire.ended()
    assert daemon.events() == []
    assert_books_balance(daemon)


def test_a_connection_a_request_loses_nothing(daemon: Daemon) -> None:
    ledger = Ledger()
    for _ in range(300):
        number = ledger.next()
        ledger.answered(number, ask(daemon.socket, build(number)).status, b"")
    assert ledger.acks == ledger.sent
    assert daemon.stop() == 0
    verdict(ledger, daemon)
