"""Kill -9 under load: what was answered is there. A thousand kills: `python -m tests.commands.kill`."""

from __future__ import annotations

import time
from pathlib import Path

from tests.commands.kill import Killer
from tests.support.checks import MIN_ACKS
from tests.support.daemon import Daemon, lines
from tests.support.load import Load
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.oracle import Ledger, Oracle, Verdict, parts

KILLS = 50
CONNECTIONS = 16  # requests the load has under way at most: sent before the look, perhaps taken after it
SLOW_FLUSH = {"interval": "60s", "max_events": 1_000_000, "max_bytes": "200MiB"}


def test_fifty_kills_in_stored_mode_lose_nothing_that_was_answered(place: Path) -> None:
    need_nginx()
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    killer = Killer(place, seed)
    result = killer.run(KILLS, print)
    assert result.problems() == [], f"seed {seed}"
    assert killer.tally.kills == KILLS
    assert killer.tally.in_flight > KILLS, "the kills met requests under way"
    assert result.acked > MIN_ACKS


def read(daemon: Daemon, ledger: Ledger) -> Verdict:
    """Let the next instance recover, stop it, and read the files."""
    daemon.start()
    assert daemon.stop() == 0
    oracle = Oracle(ledger)
    for path in daemon.files():
        oracle.read(lines(path))
    return oracle.verdict()


def test_a_kill_in_queued_mode_loses_just_the_gap_that_was_shown(place: Path) -> None:
    need_nginx()
    ledger = Ledger()
    with Daemon(place, ingest={"ack": "queued"}, flush=SLOW_FLUSH) as daemon:
        with Nginx(place, [daemon.socket]) as nginx:
            with Load(nginx.address, ledger, connections=CONNECTIONS):
                ledger.wait_for_acks(500)
            shown = daemon.metrics()["unstored_events"]
            assert shown == sum(parts(number) for number in range(ledger.sent)), "nothing was flushed yet"
            daemon.kill()
        result = read(daemon, ledger)
    assert (result.altered, result.invented, result.same_id) == ([], [], 0)
    assert result.lost_events == shown


def test_kills_in_queued_mode_under_load_lose_at_most_the_gap_that_was_shown(place: Path) -> None:
    need_nginx()
    lost = 0
    for cycle in range(8):
        ledger = Ledger()
        directory = {"directory": str(place / f"clicks{cycle}")}
        flush = {"interval": "100ms"}
        with Daemon(place, file=directory, ingest={"ack": "queued"}, flush=flush) as daemon:
            with Nginx(place, [daemon.socket]) as nginx, Load(nginx.address, ledger, connections=CONNECTIONS):
                ledger.wait_for_acks(300 + 97 * cycle)
                before = ledger.sent - CONNECTIONS
                shown = daemon.metrics()["unstored_events"]
                daemon.kill()
                since = sum(parts(number) for number in range(before, ledger.sent))
            result = read(daemon, ledger)
        assert (result.altered, result.invented, result.same_id) == ([], [], 0)
        assert result.lost_events <= shown + since, (cycle, result)
        lost += result.lost_events
    assert lost > 0, "a test that never loses anything cannot tell"
