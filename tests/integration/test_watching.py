"""`ingestd top` and `ingestd tail` beside a real daemon."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from ingestd.cli import admin_client
from ingestd.event import Entry
from ingestd.pipeline.subscribers import MAX_WAITING, Subscriber
from tests.support.daemon import Daemon
from tests.support.waiting import FAR

SOURCES = ({"name": "demo", "path": "/c/demo"}, {"name": "other", "path": "/c/other"})


@pytest.fixture
def daemon(place: Path) -> Iterator[Daemon]:
    with Daemon(place, sources=SOURCES) as running:
        yield running


@contextmanager
def following(daemon: Daemon, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "ingestd", "tail", "-c", str(daemon.config), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def send(daemon: Daemon, query: str, source: str = "demo") -> None:
    request = f"GET /c/{source}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(daemon.socket))
        client.sendall(request)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def first_shown(daemon: Daemon, process: subprocess.Popen[str], queries: list[tuple[str, str]]) -> str:
    """Send until the follower has shown its one event: it may not be following yet when the first comes."""
    deadline = time.monotonic() + FAR
    while time.monotonic() < deadline:
        for source, query in queries:
            send(daemon, query, source)
        if process.poll() is not None:
            break
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    assert process.stdout is not None
    return process.stdout.read()


def test_tail_shows_the_events_of_the_source_flag_and_parameter_asked_for(daemon: Daemon) -> None:
    with following(
        daemon, "--source", "demo", "--flag", "macro:imei", "--param", "a=1", "--json", "-n", "1"
    ) as process:
        shown = first_shown(
            daemon,
            process,
            [
                ("other", "a=1&imei=__IMEI__"),
                ("demo", "a=1"),
                ("demo", "a=2&imei=__IMEI__"),
                ("demo", "a=1&imei=__IMEI__"),
            ],
        )
    event = orjson.loads(shown)
    assert (event["source"], event["params"]) == ("demo", {"a": "1", "imei": "__IMEI__"})


def test_tail_masks_what_is_as_good_as_a_password(daemon: Daemon) -> None:
    for arguments in (("--json", "-n", "1"), ("-n", "1")):
        with following(daemon, *arguments) as process:
            shown = first_shown(daemon, process, [("demo", "a=1&callback=hunter2&x=%zz")])
        assert "***" in shown
        assert "hunter2" not in shown


def test_tail_waits_for_an_event_that_is_long_in_coming(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than it waits for the daemon to answer at all."""
    monkeypatch.setattr(admin_client, "TIMEOUT", 0.3)
    shown: list[object] = []
    reader = threading.Thread(
        target=lambda: shown.extend(itertools.islice(admin_client.follow(f"unix:{daemon.admin}", ""), 1)),
        daemon=True,
    )
    reader.start()
    reader.join(1.0)
    assert reader.is_alive()
    send(daemon, "a=1")
    reader.join(FAR)
    assert len(shown) == 1


def test_tail_shows_a_rare_event_among_more_than_it_is_given(daemon: Daemon) -> None:
    """What is asked for is looked for by the daemon; without that it would be one of the missed."""
    with following(daemon, "--param", "rare=yes", "--json", "-n", "1") as process:
        flood = [("demo", f"a={'x' * 20_000}")] * 20
        shown = first_shown(daemon, process, [*flood, ("demo", "rare=yes"), *flood])
    assert orjson.loads(shown)["params"] == {"rare": "yes"}


def test_tail_follows_several_instances_and_says_which_is_gone(daemon: Daemon, place: Path) -> None:
    """It ends when none is left."""
    admins = ("--admin", f"unix:{place}/nobody", "--admin", f"unix:{daemon.admin}")
    with following(daemon, *admins, "--json", "-n", "1") as process:
        shown = first_shown(daemon, process, [("demo", "a=1")])
        assert process.stderr is not None
        assert f"... cannot reach unix:{place}/nobody" in process.stderr.read()
    assert orjson.loads(shown)["params"] == {"a": "1"}


@pytest.mark.parametrize(
    ("name", "hint"), [("nobody", "use one of demo, other"), ("demmo", "did you mean 'demo'?")]
)
def test_tail_of_an_unknown_source_answers_at_once(daemon: Daemon, name: str, hint: str) -> None:
    """And suggests a known one; asked of several instances, too."""
    for more in ((), ("--admin", f"unix:{daemon.admin}") * 2):
        with following(daemon, "--source", name, *more) as process:
            assert process.wait(FAR) == 1
            assert process.stderr is not None
            assert f"there is no source '{name}'; {hint}" in process.stderr.read()


def test_tail_of_a_source_that_a_reload_removed_answers_at_once(daemon: Daemon) -> None:
    """Its counters are still there, and no event will come."""
    daemon.config.write_text(daemon.config.read_text().replace('"other"', '"another"'))
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("RELOADING=1")
    daemon.wait_for("READY=1")
    with following(daemon, "--source", "other") as process:
        assert process.wait(FAR) == 1
        assert process.stderr is not None
        assert "there is no source 'other'; did you mean 'another'?" in process.stderr.read()


def test_tail_without_a_daemon_says_so(place: Path) -> None:
    with following(Daemon(place)) as process:
        assert process.wait(FAR) == 1
        assert process.stderr is not None
        assert "is ingestd running" in process.stderr.read()


async def test_a_follower_that_does_not_read_holds_bounded_bytes_and_is_told_what_it_missed() -> None:
    entry = Entry()
    entry.data, entry.count = b"x" * (MAX_WAITING // 4), 1
    subscriber = Subscriber(None)
    subscriber.offer([entry] * 10)
    lines, missed = await subscriber.next()
    assert len(lines) == MAX_WAITING
    assert missed == 6


def test_the_daemon_goes_on_while_a_follower_does_not_read(daemon: Daemon) -> None:
    with following(daemon, "--json") as process:
        for _ in range(300):
            send(daemon, "a=" + "x" * 20_000)
        assert process.poll() is None
    assert daemon.status()["sources"]["demo"]["stored"] == 300


def test_top_shows_each_source_and_an_instance_that_does_not_answer(daemon: Daemon, place: Path) -> None:
    for _ in range(50):
        send(daemon, "a=1")
    command = [
        sys.executable,
        "-m",
        "ingestd",
        "top",
        "-c",
        str(daemon.config),
        "-n",
        "2",
        "--interval",
        "0.2",
    ]
    command += ["--admin", f"unix:{daemon.admin}", "--admin", f"unix:{place}/nobody"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FAR, check=False)
    assert done.returncode == 1  # one of the two is not there
    assert "ready" in done.stdout
    assert "NO RESPONSE: " in done.stdout
    assert "TOTAL  50 received, 0 rejected" in done.stdout
    assert any(line.startswith("demo ") for line in done.stdout.splitlines())
    assert any(line.startswith("other ") for line in done.stdout.splitlines())


@pytest.mark.parametrize("columns", [40, 120])
def test_top_fits_the_terminal_it_is_shown_on(daemon: Daemon, columns: int) -> None:
    """A real one: no line is wider, so none wraps."""
    screen, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    command = [
        sys.executable,
        "-m",
        "ingestd",
        "top",
        "-c",
        str(daemon.config),
        "-n",
        "1",
        "--interval",
        "0.1",
    ]
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    subprocess.run(command, stdout=terminal, env=plain, timeout=60, check=True)
    os.close(terminal)
    said = os.read(screen, 1 << 16).decode()
    os.close(screen)
    lines = re.sub("\x1b\\[[HKJ]", "", said).splitlines()
    assert any(line.startswith("demo ") for line in lines)
    assert max(map(len, lines)) <= columns
    assert ("(not shown here: " in said) == (columns == 40)
