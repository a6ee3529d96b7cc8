"""No instance answers: nginx does, as the sources would, and what it wrote down becomes the same events."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.down import Outage
from tests.support.daemon import environment, ingestd
from tests.support.hostile import SOURCES, bare, hostile, write_keys
from tests.support.needs import need_nginx
from tests.support.spilling import Net
from tests.support.wire import request


@pytest.fixture(autouse=True)
def _nginx_is_there() -> None:
    need_nginx()


@pytest.fixture
def down(place: Path) -> Iterator[Net]:
    """One instance, which does not run."""
    with Net(place, sources=SOURCES) as net:
        yield net


@pytest.fixture(autouse=True)
def keys(place: Path) -> None:
    write_keys(place)


def test_a_spilled_request_becomes_the_very_event_the_daemon_makes_of_it(down: Net) -> None:
    requests = hostile()
    for data in requests:
        assert down.ask(data).status in (200, 204), data[:200]
    down.wait_for_lines(len(requests))
    down.replay()
    daemon = down.daemons[0]
    spilled = daemon.events()
    assert all("spilled" in event["flags"] for event in spilled)
    assert spilled[0]["raw"].encode("latin-1") == b"name=\xd6\xd0\xb9\xfa&n=1"
    daemon.start()
    for data in requests:
        assert down.ask(data).status in (200, 204)
    assert daemon.stop() == 0
    direct = [event for event in daemon.events() if "spilled" not in event["flags"]]
    assert [bare(event) for event in spilled] == [bare(event) for event in direct]
    assert down.spilled() == len(requests)


def test_nginx_answers_as_the_daemon_does(down: Net) -> None:
    asked = [
        request(path, method)
        for path in (
            "/c/demo",
            "/c/demo/a.html",
            "/c/demo/json?x",
            "/c/demo/json/app",
            "/c/silent",
            "/c/pixel/a",
        )
        for method in ("GET", "HEAD")
    ]
    by_nginx = [down.ask(data) for data in asked]
    down.daemons[0].start()
    by_daemon = [down.ask(data) for data in asked]
    for data, ours, theirs in zip(asked, by_nginx, by_daemon, strict=True):
        assert ours.status == theirs.status, data
        assert ours.headers.get("content-type") == theirs.headers.get("content-type"), data
        if "pixel" not in data.decode():  # another picture of the same point
            assert ours.body == theirs.body, data


def test_what_cannot_be_spilled_is_not_answered_with_success(down: Net) -> None:
    large = b"x" * 300_000
    answers = [
        down.ask(request("/c/demo", "POST", {}, large)),  # in a file, not in the log
        down.ask(request("/c/unknown?x=1")),
        down.ask(request("/c/demos")),
        down.ask(request("/c/silent", "POST", {}, b"a=1")),  # takes no POST
    ]
    assert [(one.status, one.headers["retry-after"], one.body) for one in answers] == [
        (503, "1", b"busy")
    ] * 4
    own = down.ask(request("/c/demo/json", "POST", {}, large))
    assert (own.status, own.headers["retry-after"], own.body) == (429, "7", b"slow $down")
    down.switch.touch()
    assert down.ask(request("/c/demo?n=1")).status == 503
    assert down.ask(request("/c/demo/json?n=1")).status == 429
    down.switch.unlink()
    assert down.ask(request("/c/demo?n=2", "HEAD")).status == 200
    assert down.ask(request("/c/demo?n=3")).status == 200
    down.wait_for_lines(1)
    down.replay()
    assert [event["params"] for event in down.daemons[0].events()] == [{"n": "3"}]


def test_what_ingestd_refuses_is_passed_on_and_not_spilled(place: Path) -> None:
    source = {
        "name": "slow",
        "path": "/c/slow",
        "max_rate": 1,
        "on_overload": {"body": "later", "retry_after": 3},
    }
    with Net(place, sources=[source]) as net:
        net.daemons[0].start()
        answers = [net.ask(request(f"/c/slow?n={n}")) for n in range(20)]
        refused = [one for one in answers if one.status == 503]
        assert len(refused) > 10
        assert {(one.body, one.headers["retry-after"]) for one in refused} == {(b"later", "3")}
        assert net.ask(request("/elsewhere")).status == 404
        assert net.daemons[0].stop() == 0
        assert len(net.daemons[0].events()) == 20 - len(refused)
        assert net.spilled() == 0


def test_over_the_limit_a_source_gets_its_own_overload_reply_and_others_do_not(place: Path) -> None:
    with Net(place, sources=SOURCES, rate=2) as net:
        answers = [net.ask(request(f"/c/demo/json?n={n}")) for n in range(30)]
        statuses = {one.status for one in answers}
        assert statuses == {200, 429}
        limited = next(one for one in answers if one.status == 429)
        assert (limited.body, limited.headers["retry-after"]) == (b"slow $down", "7")
        assert net.ask(request("/c/demo?n=1")).status == 200
        net.wait_for_lines(1 + sum(one.status == 200 for one in answers))
        net.replay()
        assert len(net.daemons[0].events()) == net.spilled()


def test_an_instance_that_hangs_is_passed_over_and_the_click_is_kept(place: Path) -> None:
    with Net(place) as net:
        daemon = net.daemons[0].start()
        daemon.signal(signal.SIGSTOP)
        assert net.ask(request("/c/demo?n=1")).status == 200
        net.wait_for_lines(1)
        daemon.kill()
        net.replay()
        assert [event["params"] for event in daemon.events()] == [{"n": "1"}]


def test_all_down_under_load_every_request_is_answered_and_there_exactly_once(place: Path) -> None:
    outage = Outage(place)
    outage.run(seconds=3)
    assert outage.problems() == []
    assert outage.spilled >= 1000


def test_a_replay_killed_at_any_time_and_repeated_adds_each_click_once(place: Path) -> None:
    with Net(place) as net:
        for number in range(200):
            assert net.ask(request(f"/c/demo?n={number}")).status == 200
        net.wait_for_lines(200)
        command = ingestd("replay", "-c", str(net.daemons[0].config), "--from", "nginx-spill", str(net.spill))
        for step in range(6):
            killed = subprocess.Popen(
                command, cwd=place, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                killed.wait(0.15 * step)
            except subprocess.TimeoutExpired:
                killed.kill()
                killed.wait()
        net.replay()
        events = net.daemons[0].events()
        assert sorted(int(event["params"]["n"]) for event in events) == list(range(200))
        assert len({event["id"] for event in events}) == 200


def test_the_shipped_files_are_the_generic_ones_and_nginx_takes_them(place: Path) -> None:
    from ingestd.cli import nginx as command
    from tests.support.daemon import ROOT

    shipped = ROOT / "nginx" / "ingestd"
    assert (shipped / "http.conf").read_text() == command.http_part((), command.spill_format(()))
    assert (shipped / "server.conf").read_text() == command.server_part(())
    with_generic = Net(place)
    for name in command.FILES:
        text = (shipped / name).read_text().replace(command.SPILL, str(with_generic.spill))
        (place / "nginx.d" / name).write_text(text)
    with with_generic as net:
        answer = net.ask(request("/c/any?n=1", "POST", {"X-Token": "t"}, b"a=1"))
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"ok", "text/plain")
        net.wait_for_lines(1)
        assert b"\tX-Token:t\t" in net.spill.read_bytes()
        status = net.ask(request("/nginx_status"))
        assert re.match(rb"Active connections: \d+", status.body)
