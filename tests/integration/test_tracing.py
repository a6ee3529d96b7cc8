"""Spans of batches, as a collector gets them; and tracing where it is off, or nobody listens."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ingestd.config.sections import TracingConfig
from tests.support.daemon import Daemon, environment
from tests.support.otlp import Collector, attributes, linked
from tests.support.waiting import FAR, until
from tests.support.wire import Wire, ask, request

# A second is long for a drain that has nothing to wait for but spans.
SOON = 10.0


def traceparent(number: int, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{number:032x}-{number:016x}-{flags}"}


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_commit_is_a_span_with_links_to_the_requests_in_it(place: Path) -> None:
    """Under the instance's name; what is no traceparent is left out."""
    with Collector() as collector:
        with Daemon(place, tracing={"endpoint": collector.endpoint, "sample": 1}) as daemon:
            ask(daemon.socket, request("/c/demo?n=1", headers=traceparent(7)))
            ask(daemon.socket, request("/c/demo?n=2", headers={"traceparent": "00-x"}))
            ask(daemon.socket, request("/c/demo?n=3", headers=traceparent(0)))
            assert daemon.stop() == 0
        spans = collector.named("ingestd.commit")
        assert collector.paths == {"/v1/traces"}
    assert sum(attributes(span)["ingestd.events"] for span in spans) == 3
    assert {attributes(span)["ingestd.sink"] for span in spans} == {"file"}
    assert [linked(span) for span in spans if span.links] == [{f"{7:032x}"}]
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in spans)
    names = collector.spans[0][1]
    assert (names["service.name"], names["service.instance.id"].endswith("/0")) == ("ingestd", True)


def test_a_large_batch_has_no_more_than_32_links(place: Path) -> None:
    """In queued mode a batch gathers: a hundred requests, each of a trace of its own."""
    flush = {"interval": "10m", "max_events": 100}
    with Collector() as collector:
        tracing = {"endpoint": collector.endpoint, "sample": 1}
        with Daemon(place, ingest={"ack": "queued"}, flush=flush, tracing=tracing) as daemon:
            with Wire(daemon.socket) as wire:
                asked = [request(f"/c/demo?n={n}", headers=traceparent(n)) for n in range(1, 101)]
                wire.sock.sendall(b"".join(asked))
                until(lambda: daemon.status()["sources"]["demo"]["stored"] >= 100, "a batch of 100")
            daemon.stop()
        assert [len(span.links) for span in collector.named("ingestd.commit")] == [32]


def test_with_nobody_listening_requests_are_answered_and_the_stop_is_soon(place: Path) -> None:
    """Spans are dropped."""
    with Daemon(place, tracing={"endpoint": nobody(), "sample": 1}) as daemon:
        for number in range(200):
            assert ask(daemon.socket, request(f"/c/demo?n={number}")).status == 200
        assert daemon.stop(SOON) == 0
    assert len(daemon.events()) == 200


def test_with_a_collector_that_never_answers_the_stop_is_soon(place: Path) -> None:
    """It takes connections, and that is all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Daemon(place, tracing={"endpoint": endpoint, "sample": 1}) as daemon:
            assert ask(daemon.socket, request("/c/demo?n=1")).status == 200
            assert daemon.stop(SOON) == 0


def test_a_sample_of_none_makes_no_span(place: Path) -> None:
    """The share is looked at for each batch."""
    with Collector() as collector:
        with Daemon(place, tracing={"endpoint": collector.endpoint, "sample": 0}) as daemon:
            ask(daemon.socket, request("/c/demo?n=1"))
            assert daemon.stop() == 0
        assert collector.spans == []


def test_off_nothing_of_it_is_loaded() -> None:
    """It is off by default, and then costs neither memory nor time."""
    assert TracingConfig().endpoint == ""
    code = "import sys, ingestd.app; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


@pytest.mark.parametrize("command", ["check", "serve"])
def test_the_missing_package_is_named_with_what_to_do(place: Path, command: str) -> None:
    """Exit status 78, as for any configuration that cannot work here."""
    daemon = Daemon(place, tracing={"endpoint": nobody(), "sample": 1})
    code = "import sys; sys.modules['opentelemetry'] = None; from ingestd.cli import main; main()"
    asked = [sys.executable, "-c", code, command, "-c", str(daemon.config)]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment(), timeout=FAR, check=False)
    assert done.returncode == 78, done.stderr
    assert "tracing.endpoint: needs OpenTelemetry, which is not installed; pip install" in done.stderr
