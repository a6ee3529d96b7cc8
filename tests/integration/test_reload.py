"""HUP, USR1 and several instances, each under load: nothing is lost, nobody is refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checks import assert_books_balance, verdict
from tests.support.daemon import Daemon, lines
from tests.support.load import Load
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.oracle import Ledger, Oracle
from tests.support.waiting import until
from tests.support.wire import ask, request

DEMO = {"name": "demo", "path": "/c/demo"}
NEW = {"name": "new", "path": "/c/new", "reply": {"status": 200, "body": '{"ret":0}'}}


@pytest.fixture
def load(daemon: Daemon, nginx: Nginx) -> Iterator[Load]:
    """A load that is under way."""
    with Load(nginx.address, Ledger()) as running:
        running.ledger.wait_for_acks(200)
        yield running


def hup(daemon: Daemon) -> None:
    """Reload, and wait until it is done."""
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("RELOADING=1")
    daemon.wait_for("READY=1")


def end(daemon: Daemon, load: Load) -> None:
    """Every request was answered with success and is in the files."""
    load.ledger.wait_for_acks(200)
    load.stop()
    assert set(load.ledger.statuses) == {200}
    assert_books_balance(daemon)
    assert daemon.stop() == 0
    verdict(load.ledger, daemon)


def test_a_repeat_is_recognised_across_a_reload(daemon: Daemon) -> None:
    daemon.configure(sources=[{**DEMO, "dedup": ["id"], "dedup_window": 10}])
    hup(daemon)
    assert ask(daemon.socket, request("/c/demo?id=1")).status == 200
    hup(daemon)
    assert ask(daemon.socket, request("/c/demo?id=1")).status == 200
    assert [event["flags"] for event in daemon.events()] == [[], ["duplicate"]]
    assert daemon.metrics()['dedup_window_events{source="demo"}'] == 1


def test_a_source_that_is_new_is_served_after_hup_and_no_request_is_lost(daemon: Daemon, load: Load) -> None:
    assert ask(daemon.socket, request("/c/new?a=1")).status == 404
    daemon.configure(sources=[DEMO, NEW])
    hup(daemon)
    answer = ask(daemon.socket, request("/c/new?a=1"))
    assert (answer.status, answer.body) == (200, b'{"ret":0}')
    for _ in range(20):
        load.ledger.wait_for_acks(20)
        hup(daemon)
    metrics = daemon.metrics()
    assert (metrics["config_reloads_total"], metrics["config_reload_failures_total"]) == (21, 0)
    assert metrics["sources"] == 2
    daemon.configure(sources=[DEMO])
    hup(daemon)
    assert ask(daemon.socket, request("/c/new?a=1")).status == 404
    load.stop()
    assert set(load.ledger.statuses) == {200}
    assert daemon.stop() == 0
    oracle = Oracle(load.ledger)
    for path in daemon.files():
        oracle.read(line for line in lines(path) if b'"source":"new"' not in line)
    assert oracle.verdict().problems() == []
    assert [event["source"] for event in daemon.events()].count("new") == 1


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("[[source]\n", "TOML"),
        ("[ingest]\nlisten = 5\n", "ingest.listen"),
        ('[[source]]\nname = "demo"\npath = "/c/demo"\nreplay = 3\n', "did you mean 'reply'?"),
        ("", "source: is missing"),
    ],
)
def test_a_wrong_configuration_at_hup_changes_nothing_and_is_counted(
    daemon: Daemon, load: Load, bad: str, said: str
) -> None:
    daemon.config.write_text(bad)
    hup(daemon)
    assert said in daemon.log()
    assert daemon.metrics()["config_reload_failures_total"] == 1
    assert daemon.look("/readyz").status == 200
    end(daemon, load)


def test_a_configuration_that_is_gone_at_hup_changes_nothing(daemon: Daemon, load: Load) -> None:
    daemon.config.unlink()
    hup(daemon)
    assert daemon.metrics()["config_reload_failures_total"] == 1
    end(daemon, load)


def test_hup_says_which_sections_need_a_restart(daemon: Daemon) -> None:
    daemon.configure(flush={"interval": "50ms"})
    hup(daemon)
    assert "need a restart" in daemon.log()
    assert "flush" in daemon.log().partition("need a restart")[2]


def test_usr1_under_load_finishes_the_file_and_loses_nothing(daemon: Daemon, load: Load) -> None:
    for number in range(1, 21):
        load.ledger.wait_for_acks(20)
        daemon.signal(signal.SIGUSR1)
        until(lambda: daemon.metrics()["files_finished_total"] >= number, f"file {number}")  # noqa: B023
    assert len(daemon.files()) == 20
    end(daemon, load)


def test_usr1_without_an_event_makes_no_empty_file(daemon: Daemon) -> None:
    daemon.signal(signal.SIGUSR1)
    assert ask(daemon.socket, request("/c/demo?a=1")).status == 200
    daemon.signal(signal.SIGUSR1)
    until(lambda: len(daemon.files()) == 1, "the file with the event")
    assert daemon.stop() == 0
    assert len(daemon.files()) == 1


@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
def test_files_rotate_by_size_under_load_and_hold_everything(place: Path, compress: str) -> None:
    ledger = Ledger()
    with Daemon(place, file={"rotate_bytes": "64KiB", "compress": compress}) as daemon:
        with Load(daemon.socket, ledger):
            ledger.wait_for_acks(1500)
        assert daemon.stop() == 0
        verdict(ledger, daemon)
        suffix = {"none": ".ndjson", "gzip": ".gz", "zstd": ".zst"}[compress]
        assert len(daemon.files()) > 5
        assert {path.suffix for path in daemon.files()} == {suffix}


def test_instances_share_a_directory_and_one_takes_up_what_another_left(place: Path) -> None:
    need_nginx()
    ledger = Ledger()
    instances = [Daemon(place, name=name) for name in "012"]
    with instances[0], instances[1], instances[2]:
        with Nginx(place, [one.socket for one in instances]) as nginx, Load(nginx.address, ledger):
            ledger.wait_for_acks(500)
            instances[1].kill()
            ledger.wait_for_acks(300)
            [left] = instances[1].directory.glob("clicks-1-*.open")
            assert instances[0].stop() == 0
            instances[0].start()  # finishes what the killed one left, and nothing of the living one
            ledger.wait_for_acks(300)
            assert not left.exists()
            assert len(list(instances[2].directory.glob("clicks-2-*.open"))) == 1
        assert [instances[number].stop() for number in (0, 2)] == [0, 0]
        nodes = {event["node"].rpartition("/")[2] for event in instances[0].events()}
        assert nodes == {"0", "1", "2"}
        verdict(ledger, *instances)


def test_a_torn_tail_is_set_aside_and_counted(place: Path) -> None:
    ledger = Ledger()
    with Daemon(place) as daemon:
        with Load(daemon.socket, ledger):
            ledger.wait_for_acks(200)
        daemon.kill()
        [left] = daemon.directory.glob("*.open")
        torn = b'{"v":1,"id":"01a205d6-de91-745b-9bea-3083cfb9c796","dup_key":"torn'
        with left.open("ab") as file:
            file.write(torn)
        daemon.start()
        metrics = daemon.metrics()
        assert (metrics["files_recovered_total"], metrics["bad_bytes_total"]) == (1, len(torn))
        [bad] = daemon.directory.glob("*.bad")
        assert bad.read_bytes() == torn
        assert daemon.stop() == 0
        oracle = Oracle(ledger)
        for path in daemon.files():
            oracle.read(lines(path))
        assert oracle.verdict().problems() == []
