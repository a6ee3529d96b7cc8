"""Sources behind the shipped nginx: what was signed arrives byte for byte, what is hidden stays hidden."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.daemon import Daemon, DaemonEndedError
from tests.support.front import Front
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.place import open_place
from tests.support.platforms.cases import SAMPLES
from tests.support.platforms.tampering import CHANGES
from tests.support.wire import Wire, ask, request

TOKEN = "tok-7f3e9a"
SOURCES: list[dict[str, object]] = [
    {"name": "baidu", "path": "/c/baidu", "profile": "baidu", "signature": {"key_file": "baidu.key"}},
    {
        "name": "xiaomi", "path": "/c/xiaomi", "profile": "xiaomi", "signature": {"key_file": "xiaomi.key"},
        "on_bad_signature": "reject", "dedup_window": 1000,
    },
    {
        "name": "net", "path": "/p/net", "profile": "postback", "on_bad_signature": "reject",
        "signature": {"place": "path", "key_file": "token"},
    },
    {
        "name": "private", "path": "/c/private", "address_privacy": "truncate_ip", "keep_raw": "always",
        "privacy": {"imei": "drop", "oaid": "sha256"},
    },
    {
        "name": "limited", "path": "/c/limited", "max_rate": 0.001,
        "on_overload": {"status": 503, "body": "slower", "retry_after": 9},
    },
    {"name": "pixel", "path": "/i", "type": "impression", "reply": {"pixel": True}},
    {
        "name": "jump", "path": "/j",
        "reply": {"status": 204, "body": "", "redirect": {"param": "to", "hosts": ["shop.example.com"]}},
    },
    {"name": "demo", "path": "/c/demo"},
]  # fmt: skip


def write_secrets(place: Path) -> None:
    (place / "baidu.key").write_text("test-akey-0001=\n")
    (place / "xiaomi.key").write_text("an-older-one\ntest-sign-key\n")
    (place / "token").write_text(TOKEN)


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    need_nginx()
    with open_place() as place:
        write_secrets(place)
        ingest = {"public_base": "https://trk.example.com"}
        with Daemon(place, sources=SOURCES, ingest=ingest) as daemon, Nginx(place, [daemon.socket]) as nginx:
            yield Front(daemon, nginx)


def target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


@pytest.mark.parametrize("platform", ["baidu", "xiaomi"])
def test_a_signature_vector_verifies_through_nginx(front: Front, platform: str) -> None:
    answer, events = front.send(request(target(SAMPLES[f"{platform} signed"])))
    assert answer.status == 200
    assert [event["signature"] for event in events] == ["ok"]
    assert events[0]["raw"] == target(SAMPLES[f"{platform} signed"]).partition("?")[2]


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_changed_url_does_not_verify_through_nginx(front: Front, change: str) -> None:
    event = front.one(request(target(CHANGES[change](SAMPLES["baidu signed"]))))
    assert event["signature"] == "bad"


def test_a_rejected_signature_is_answered_403_and_stored_nowhere(front: Front) -> None:
    before = front.daemon.metrics()
    answer, events = front.send(request(target(SAMPLES["xiaomi signed"])[:-1]))
    assert (answer.status, events) == (403, [])
    after = front.daemon.metrics()
    for name in ('signature_total{result="bad",source="xiaomi"}',
                 'events_rejected_total{reason="signature",source="xiaomi"}'):  # fmt: skip
        assert after[name] - before.get(name, 0) == 1


def test_a_token_in_the_path_is_seen_by_nobody_else(front: Front) -> None:
    event = front.one(request(f"/p/net/{TOKEN}/app42?transaction_id=t1"))
    assert (event["signature"], event["path"], event["route"]) == ("ok", "/p/net/***/app42", "app42")
    assert ask(front.nginx.address, request("/p/net/guessed/app42?transaction_id=t1")).status == 403
    files = b"".join(path.read_bytes() for path in front.daemon.files(unfinished=True))
    told = front.daemon.look("/metrics").body + front.daemon.look("/status").body
    for shown in (files, told, front.daemon.log().encode()):
        assert TOKEN.encode() not in shown
        assert b"test-sign-key" not in shown


def test_privacy_leaves_no_trace_in_files_logs_or_metrics(front: Front) -> None:
    imei, oaid = "867530901234567", "0f3a6d2e-7b1c-4d5e-8f90-a1b2c3d4e5f6"
    front.one(
        request(f"/c/private/{imei}?imei={imei}&oaid={oaid}&n=%", headers={"X-Forwarded-For": "203.0.113.77"})
    )
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(imei) + 5)}
    front.one(request("/c/private?a=1", "POST", form, f"imei={imei}".encode()))
    files = b"".join(path.read_bytes() for path in front.daemon.files(unfinished=True))
    shown = files + front.daemon.look("/metrics").body + front.daemon.look("/status").body
    for original in (imei, oaid, "203.0.113.77"):
        assert original.encode() not in shown
        assert original not in front.daemon.log()
    assert b'"forwarded_for":"203.0.113.0, 127.0.0.0"' in files


def test_over_its_rate_a_source_answers_in_its_own_way_and_others_do_not(front: Front) -> None:
    front.one(request("/c/limited?a=1"))
    answer, events = front.send(request("/c/limited?a=2"))
    assert (answer.status, answer.body, answer.headers["retry-after"], events) == (503, b"slower", "9", [])
    front.one(request("/c/demo?a=2"))
    assert front.daemon.metrics()['events_rejected_total{reason="max_rate",source="limited"}'] == 1


def test_a_pixel_and_a_redirect_arrive_as_they_are(front: Front) -> None:
    answer, (event,) = front.send(request("/i/banner1?x=1"))
    assert (answer.status, answer.headers["content-type"], answer.body[:6]) == (200, "image/gif", b"GIF89a")
    assert event["type"] == "impression"
    answer, events = front.send(request("/j?to=https%3A%2F%2Fshop.example.com%2Fp%3Fa%3D1"))
    assert (answer.status, answer.headers["location"]) == (302, "https://shop.example.com/p?a=1")
    assert len(events) == 1
    answer, events = front.send(request("/j?to=https%3A%2F%2Fevil.example.net%2F"))
    assert (answer.status, answer.body, len(events)) == (204, b"", 1)


def test_a_redirect_is_given_where_replies_do_not_wait_for_the_disk_too(place: Path) -> None:
    with Daemon(place, sources=[SOURCES[6]], ingest={"ack": "queued"}) as daemon:
        answer = ask(daemon.socket, request("/j?to=https%3A%2F%2Fshop.example.com%2F"))
        assert (answer.status, answer.headers["location"]) == (302, "https://shop.example.com/")


def test_the_window_marks_repeats_and_outlives_a_reload(front: Front) -> None:
    def flags() -> list[str]:
        _, (event,) = front.send(request(target(SAMPLES["xiaomi signed"])))
        found: list[str] = event["flags"]
        return found

    flags()  # the first, or seen by an earlier test
    assert "duplicate" in flags()
    front.daemon.signal(signal.SIGHUP)
    front.daemon.wait_for("READY=1")
    assert "duplicate" in flags()
    metrics = front.daemon.metrics()
    assert metrics['duplicates_total{source="xiaomi"}'] >= 2
    assert metrics['dedup_window_events{source="xiaomi"}'] == 1
    assert metrics['dedup_window_max_events{source="xiaomi"}'] == 1000
    assert metrics['dedup_window_reach_seconds{source="xiaomi"}'] >= 0


# secrets and the daemon's life


def test_without_its_secret_the_daemon_does_not_start_and_says_why(place: Path) -> None:
    daemon = Daemon(place, sources=SOURCES[2:3])
    with pytest.raises(DaemonEndedError, match=r"signature\.key_file: .*token: No such file"):
        daemon.start()
    assert daemon.wait() == 78


def test_a_reload_without_a_secret_keeps_what_is_in_force(place: Path) -> None:
    write_secrets(place)
    with Daemon(place, sources=SOURCES[2:3]) as daemon:
        (place / "token").rename(place / "gone")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("READY=1")
        assert ask(daemon.socket, request(f"/p/net/{TOKEN}?transaction_id=1")).status == 200
        assert "configuration refused" in daemon.log()
        (place / "token").write_text("tok-new")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("READY=1")
        assert ask(daemon.socket, request(f"/p/net/{TOKEN}?transaction_id=2")).status == 403
        assert ask(daemon.socket, request("/p/net/tok-new?transaction_id=3")).status == 200
        assert "tok-" not in daemon.log()


def test_a_flood_of_wrong_tokens_is_counted_and_good_events_pass(place: Path) -> None:
    write_secrets(place)
    sources: list[dict[str, object]] = [SOURCES[2], {"name": "good", "path": "/c/good"}]
    flood, at_once = 50_000, 250
    with Daemon(place, sources=sources) as daemon, Wire(daemon.socket) as bad, Wire(daemon.socket) as good:
        for first in range(0, flood, at_once):
            bad.send(
                b"".join(
                    request(f"/p/net/wrong-{n}/a?transaction_id={n}") for n in range(first, first + at_once)
                )
            )
            good.send(request(f"/c/good?n={first}"))
            assert good.receive().status == 200
            assert {bad.receive().status for _ in range(at_once)} == {403}
        metrics = daemon.metrics()
        assert metrics['signature_total{result="bad",source="net"}'] == flood
        assert metrics['events_rejected_total{reason="signature",source="net"}'] == flood
        assert metrics['events_received_total{source="net"}'] == flood
        assert metrics['events_stored_total{source="good"}'] == flood / at_once
        assert metrics.get('events_stored_total{source="net"}', 0) == 0
        assert len(daemon.events()) == flood / at_once
