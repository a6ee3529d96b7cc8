"""What comes from outside names no file, no log line and no header; who may read what is made."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from signal import SIGUSR1
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.place import open_place
from tests.support.waiting import until
from tests.support.wire import Wire, ask, request

ESCAPE = "\x1b[31m"
FORGED = "time=2026-01-01T00:00:00.000Z level=error msg=forged"
ROUTES = [
    "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/x", "....//x", "a%00b", "a%0d%0ab",
    "/etc/passwd",
    "..\\..\\x", "x/" * 100, "~root", "$(id)", "`id`", ";id", "|id", "con", "x" * 5000, ".", "..", "%",
]  # fmt: skip
SOURCES: list[dict[str, object]] = [
    {"name": "demo", "path": "/c/demo", "dedup": ["click_id"], "key": ["click_id"]},
    {
        "name": "browser", "path": "/c/browser",
        "reply": {"redirect": {"param": "u", "hosts": ["shop.example"], "fallback": "https://shop.example/"}},
    },
    {
        "name": "aside", "path": "/c/aside", "on_bad_signature": "dead_letter",
        "signature": {"kind": "token", "param": "t", "key_file": "key"},
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with open_place() as place:
        (place / "key").write_text("a key")
        # A wide umask, as a user's shell may have it: what the daemon makes must not depend on it.
        with Daemon(place, sources=SOURCES, log={"level": "debug"}).start(
            before=["sh", "-c", 'umask 0; exec "$@"', "sh"]
        ) as running:
            yield running


def tree(place: Path) -> set[str]:
    """Every file there is, without the times in their names."""
    return {str(path.relative_to(place)).split("-2")[0] for path in place.rglob("*")}


def settled(directory: Path) -> bool:
    """Each finished file has its manifest, and nothing is being renamed."""
    names = [path.name for path in directory.rglob("*")]
    finished = [name for name in names if name.endswith(".ndjson")]
    if any(name.endswith(".tmp") for name in names):
        return False
    return len(finished) >= 2 and all(f"{name}.manifest" in names for name in finished)


def hostile() -> Iterator[bytes]:
    for route in ROUTES:
        for source in ("demo", "aside"):
            yield request(f"/c/{source}/{route}?click_id={route}&t={route}&source={route}")
    for value in (FORGED, ESCAPE, f"a\t{FORGED}", "../../x", "\xff\xfe", "%0a" + FORGED):
        headers = {"User-Agent": value, "X-Forwarded-For": value, "X-Real-IP": value, "traceparent": value}
        yield request("/c/demo?a=1", headers={**headers, "Content-Type": value})
        yield request("/c/demo", "POST", {"Content-Type": value, "Content-Encoding": value}, b"x")
        yield request(f"/nowhere/{value}".replace(" ", "%20"))
        yield request("/c/demo", value.split("=")[0].replace("\x1b[", "X"))


def test_names_from_outside_make_no_file_and_no_log_line(daemon: Daemon) -> None:
    ask(daemon.socket, request("/c/demo?a=1"))
    ask(daemon.socket, request("/c/aside?a=1"))
    files, log = tree(daemon.place), daemon.log()
    for data in hostile():
        ask(daemon.socket, data)
    assert tree(daemon.place) == files
    assert daemon.log() == log


def test_names_from_outside_make_no_field_of_the_status_and_no_line_of_the_metrics(daemon: Daemon) -> None:
    ask(daemon.socket, request(f"/c/demo?a%0aingestd_forged%201={'__X__'}&%22%7d%201%0aingestd_forged=__Y__"))
    text = daemon.look("/metrics").text
    assert not [line for line in text.splitlines() if line.startswith("ingestd_forged")]
    for line in text.splitlines():
        assert line.startswith(("# ", "ingestd_", "process_")), line
    status = daemon.status()
    assert set(status["sources"]) == {"demo", "browser", "aside"}


@pytest.mark.parametrize(
    "address",
    [
        "https://shop.example/%0d%0aSet-Cookie:%20a=b", "https://shop.example/\t", "https://evil.example/",
        "https://shop.example.evil.example/", "https://shop.example@evil.example/", "//evil.example/",
        "https:evil.example", "javascript:alert(1)", "https://evil.example\\@shop.example/",
        "https://shop.example/%E5%93%88%0aX:y", "%0d%0a%0d%0a<html>",
    ],
)  # fmt: skip
def test_an_address_from_outside_splits_no_reply_and_leads_to_no_other_host(
    daemon: Daemon, address: str
) -> None:
    escaped = address.replace("%", "%25") if "%0" not in address else address
    answer = ask(daemon.socket, request(f"/c/browser?u={escaped}".replace("\t", "%09")))
    assert set(answer.headers) <= {"location", "content-length", "cache-control", "content-type"}
    assert answer.headers["location"].startswith("https://shop.example/")
    assert answer.body == b""


def test_what_is_made_may_be_read_by_the_owner_and_the_group_only(daemon: Daemon) -> None:
    ask(daemon.socket, request("/c/demo?a=1"))
    ask(daemon.socket, request("/c/aside?a=1"))
    daemon.signal(SIGUSR1)
    until(lambda: settled(daemon.directory), "a manifest for each file")
    made = [daemon.directory, *daemon.directory.rglob("*"), daemon.socket]
    kinds = {path.suffix for path in made}
    assert {".ndjson", ".manifest", ".chain"} <= kinds
    for path in made:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert not mode & stat.S_IRWXO, f"{path}: {mode:o}"
        assert not mode & stat.S_IWGRP or path == daemon.socket, f"{path}: {mode:o}"
    assert stat.S_IMODE(daemon.admin.lstat().st_mode) == 0o660


def test_the_spool_and_dead_letters_may_be_read_by_the_owner_and_the_group_only(place: Path) -> None:
    kafka: dict[str, Any] = {"bootstrap": "127.0.0.1:1", "dead_letter_directory": str(place / "dead")}
    with Daemon(place, kafka=kafka, spool={"directory": str(place / "spool")}).start(
        before=["sh", "-c", 'umask 0; exec "$@"', "sh"]
    ) as daemon:
        assert ask(daemon.socket, request("/c/demo?a=1")).status == 200
        made = [place / "spool", *(place / "spool").rglob("*")]
        assert {path.suffix for path in made} >= {".spool"}
        for path in made:
            assert not stat.S_IMODE(path.lstat().st_mode) & (stat.S_IRWXO | stat.S_IWGRP), path


def test_a_link_put_where_a_file_will_be_is_not_followed(place: Path) -> None:
    victim = place / "victim"
    victim.write_bytes(b"precious\n")
    clicks = place / "clicks"
    clicks.mkdir()
    for name in ("clicks-0-20260101T000000.000Z.ndjson.open", "clicks-0.chain.tmp"):
        (clicks / name).symlink_to(victim)
    with Daemon(place) as daemon:
        assert ask(daemon.socket, request("/c/demo?a=1")).status in (200, 503)
        daemon.stop()
    assert victim.read_bytes() == b"precious\n"


def test_one_connection_cannot_answer_for_another(daemon: Daemon) -> None:
    with Wire(daemon.socket) as first, Wire(daemon.socket) as second:
        first.send(b"POST /c/demo HTTP/1.1\r\nContent-Length: 40\r\n\r\n")
        second.send(request("/c/browser?u=https://shop.example/second"))
        assert second.receive().headers["location"].endswith("/second")
        first.send(b"GET /c/browser?u=x HTTP/1.1\r\nHost: x\r\n\r\n"[:40])
        assert first.receive().status == 200
