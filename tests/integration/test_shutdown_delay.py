"""`ingest.shutdown_delay`: nothing is refused where a load balancer learns late that an instance goes."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.balancer import CHECK_PERIOD, LateBalancer, is_ready
from tests.support.daemon import Daemon
from tests.support.nginx import free_port
from tests.support.waiting import until
from tests.support.wire import Address, Wire, ask, request

RESTARTS = 20
# Several looks of the balancer, on whatever is left of the machine.
DELAY = f"{3 * CHECK_PERIOD:g}s"


def rolling(place: Path, delay: str, restarts: int) -> LateBalancer:
    """Two instances behind the balancer, restarted in turn."""
    backends: dict[str, tuple[Daemon, Address]] = {}
    for name in ("a", "b"):
        port = free_port()
        daemon = Daemon(place, name=name, ingest={"shutdown_delay": delay, "listen": f"tcp:127.0.0.1:{port}"})
        backends[name] = (daemon, ("127.0.0.1", port))
    (a, _), (b, _) = backends.values()
    balancer = LateBalancer(backends)
    with a, b, balancer:
        for number in range(restarts):
            name = "ab"[number % 2]
            daemon = backends[name][0]
            balancer.wait_for(name, 10)
            assert daemon.stop() == 0
            daemon.start()
            until(lambda one=daemon: is_ready(one), f"{name} is ready")  # type: ignore[misc]
        balancer.wait_for("a", 10)
    return balancer


def test_twenty_rolling_restarts_under_load_refuse_nothing(place: Path) -> None:
    balancer = rolling(place, DELAY, RESTARTS)
    assert balancer.failed == []
    assert balancer.answered["a"] > 10 * RESTARTS / 2
    assert balancer.answered["b"] > 10 * RESTARTS / 2


def test_without_the_delay_the_same_restarts_refuse_clicks(place: Path) -> None:
    assert rolling(place, "0s", 4).failed


def test_in_the_delay_it_is_not_ready_and_takes_clicks_on_old_and_new_connections(place: Path) -> None:
    port = free_port()
    address = ("127.0.0.1", port)
    with Daemon(place, ingest={"shutdown_delay": "1h", "listen": f"tcp:127.0.0.1:{port}"}) as daemon:
        with Wire(address) as old:
            old.send(request("/c/demo?n=1"))
            assert "connection" not in old.receive().headers
            daemon.signal(signal.SIGTERM)
            until(lambda: not is_ready(daemon), "not ready")
            old.send(request("/c/demo?n=2"))
            answer = old.receive()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert old.ended()
        new = ask(address, request("/c/demo?n=3"))
        assert (new.status, new.headers["connection"]) == (200, "close")
        daemon.signal(signal.SIGTERM)  # a second one does not wait for the rest of the delay
        assert daemon.wait() == 0
        assert len(daemon.events()) == 3
