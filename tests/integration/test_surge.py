"""More comes than can be taken. Nothing here is asked of time: `python -m tests.commands.surge` does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestd.cli import nginx as command
from ingestd.config.sections import IngestConfig
from tests.support.checks import assert_books_balance, assert_fresh_event_passes, verdict
from tests.support.load import Load
from tests.support.needs import need_nginx
from tests.support.nginx import SHIPPED
from tests.support.oracle import Ledger
from tests.support.spilling import Net
from tests.support.wire import request

SOURCES: list[dict[str, object]] = [
    {"name": "demo", "path": "/c/demo", "on_overload": {"status": 420, "body": "later", "retry_after": 7}},
    {"name": "calm", "path": "/c/calm"},
]
GROWTH = 32 << 20


@pytest.fixture(autouse=True)
def _nginx_is_there() -> None:
    need_nginx()


def test_a_surge_is_refused_in_the_sources_own_words_and_nothing_is_lost_spilled_or_repeated(
    place: Path,
) -> None:
    ledger = Ledger()
    with Net(place, instances=2, sources=SOURCES, requests=4) as net:
        for daemon in net.daemons:
            daemon.start()
        before = [daemon.resident() for daemon in net.daemons]
        with Load(net.nginx.address, ledger, connections=400) as load:
            ledger.wait_for_status(420, 3000)
            assert net.ask(request("/c/calm?n=1")).status == 200, "another source is not touched"
            ledger.wait_for_acks(500)
            load.stop()
        assert_fresh_event_passes(net.nginx.address, ledger)  # at once: nothing is left to be worked off
        assert (set(ledger.statuses), ledger.unanswered) == ({200, 420}, 0)
        assert b"\r\nRetry-After: 7" in ledger.last_refusal[420]
        assert b"\r\nContent-Length: 5\r\n" in ledger.last_refusal[420]
        for daemon, was in zip(net.daemons, before, strict=True):
            assert daemon.resident() - was < GROWTH
            metrics = assert_books_balance(daemon)
            assert not any(name.startswith("events_rejected") for name in metrics), "nginx refused, not it"
        assert "limiting" not in net.nginx.log()
        for daemon in net.daemons:
            assert daemon.stop() == 0
        assert net.spilled() == 0
        for path in net.daemons[0].directory.glob("*"):  # the other source's event is no request of the load
            if path.suffix == ".ndjson":
                path.write_bytes(b"".join(s for s in path.open("rb") if b'"source":"calm"' not in s))
        result = verdict(ledger, *net.daemons)
    assert (result.unknown, result.repeated) == (0, 0)


def test_what_may_be_under_way_fits_into_one_backlog_and_into_the_connections_nginx_keeps() -> None:
    assert IngestConfig().backlog > command.ALL_REQUESTS
    assert f"keepalive {command.REQUESTS};" in SHIPPED.read_text()


def test_the_commands_defaults_are_those_of_the_shipped_files() -> None:
    defaults = {option.name: option.default for option in command.command.params}
    assert (defaults["rate"], defaults["requests"]) == (command.RATE, command.REQUESTS)
