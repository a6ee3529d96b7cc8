"""From spill lines to events: the daemon's own, once each, whatever happens to the replay or the file."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import jsonschema
import orjson
import pytest
from click.testing import CliRunner, Result

from ingestd import config
from ingestd.cli import main, replay_spill
from ingestd.cli.replay_checkpoint import Checkpoints
from ingestd.cli.spill_events import Converter
from ingestd.cli.spill_log import parse
from ingestd.kafka.delivery_report import DeliveryReport
from ingestd.sources.event_schema import JSON_SCHEMA
from ingestd.system import durable
from tests.support.spilled import line

SOURCES = """
[[source]]
name = "demo"
path = "/c/demo"
key = ["imei"]
max_rate = 1

[[source]]
name = "signed"
path = "/c/signed"
on_bad_signature = "reject"
signature = { kind = "token", place = "header", header = "X-Token", key_file = "token" }
"""


class Bench:
    """A configuration, a spill file and the events a replay made of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.clicks = place / "clicks"
        self.clicks.mkdir()
        self.spill = place / "ingestd.spill"
        (place / "token").write_text("open sesame")
        self.config = place / "c.toml"
        self.config.write_text(f'[file]\ndirectory = "{self.clicks}"\n' + SOURCES)

    def write(self, *lines: bytes, end: bytes = b"\n") -> None:
        self.spill.write_bytes(b"\n".join(lines) + end)

    def replay(self, *arguments: str) -> Result:
        mark = ["--checkpoint", str(self.place / "mark")]
        options = ["replay", "-c", str(self.config), "--from", "nginx-spill", *mark]
        return CliRunner().invoke(main, [*options, *arguments, str(self.spill)])

    def events(self) -> list[dict[str, Any]]:
        files = sorted(self.clicks.glob("*.ndjson"))
        return [orjson.loads(one) for path in files for one in path.read_bytes().splitlines()]

    @property
    def bad(self) -> bytes:
        path = self.spill.with_name(self.spill.name + ".bad")
        return path.read_bytes() if path.exists() else b""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def clicks(count: int) -> list[bytes]:
    return [line(b"/c/demo/app?n=%d" % number) for number in range(count)]


def test_a_line_becomes_the_event_the_daemon_would_have_made(bench: Bench) -> None:
    bench.write(line(b"/c/demo/app?n=1&x=%D6\xd0", request_id=b"5" * 32, agent=b"a\tb"))
    assert bench.replay().exit_code == 0
    (event,) = bench.events()
    jsonschema.validate(event, JSON_SCHEMA)
    assert event["received_at"] == 1_795_398_236_727
    assert int(event["id"][:13].replace("-", ""), 16) == 1_795_398_236_727
    assert event["flags"] == ["bad_utf8", "spilled"]
    assert (event["client_ip"], event["forwarded_for"]) == ("192.0.2.7", "198.51.100.1, 192.0.2.7")
    assert (event["user_agent"], event["route"]) == ("a\tb", "app")
    assert event["raw"].encode("latin-1") == b"n=1&x=%D6\xd0"


def test_the_flag_cannot_be_led_astray_by_what_was_sent(bench: Bench) -> None:
    node = b'"flags":[],"node":"x"'
    query = b"signature=none&flags=a&flags=b&node=host/0&x=%22%5D," + node
    body = b'{"signature":"none","flags":[],"node":"h"}'
    bench.write(line(b"/c/demo?" + query, b"POST", body=body, content_type=b"application/json", agent=node))
    assert bench.replay().exit_code == 0
    (event,) = bench.events()
    assert event["flags"] == ["spilled"]
    assert event["params"]["flags"] == ["a", "b"]
    assert event["body"] == orjson.loads(body)


def test_no_rate_refuses_what_nginx_has_said_yes_to(bench: Bench) -> None:
    bench.write(*clicks(50))
    assert bench.replay().exit_code == 0
    assert [event["params"]["n"] for event in bench.events()] == [str(number) for number in range(50)]


def test_again_with_the_checkpoint_adds_nothing_and_new_lines_are_added(bench: Bench) -> None:
    lines = clicks(6)
    bench.write(*lines[:4])
    assert bench.replay().exit_code == 0
    assert bench.replay().exit_code == 0
    bench.write(*lines)
    assert bench.replay().exit_code == 0
    assert [event["params"]["n"] for event in bench.events()] == list("012345")


def test_a_new_log_under_the_old_name_is_not_taken_for_the_old(bench: Bench) -> None:
    bench.write(*clicks(4))
    bench.replay()
    bench.write(*clicks(2))
    assert bench.replay().exit_code == 0
    assert len(bench.events()) == 6


def test_a_renamed_log_is_known(bench: Bench) -> None:
    bench.write(*clicks(4))
    bench.replay()
    bench.spill = bench.spill.rename(bench.place / "ingestd.spill.1")
    assert bench.replay().exit_code == 0
    assert len(bench.events()) == 4


def test_killed_before_its_checkpoint_a_repeat_adds_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = clicks(5)
    bench.write(*lines[:3])

    def killed(self: Checkpoints, name: str, lines: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", killed)
        assert bench.replay().exit_code != 0
    assert len(bench.events()) == 3
    bench.write(*lines)
    assert bench.replay().exit_code == 0
    assert [event["params"]["n"] for event in bench.events()] == list("01234")


def test_killed_while_it_writes_nothing_counts_and_a_repeat_makes_the_same_ids(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(*clicks(3))
    before: list[bytes] = []

    def killed(source: Path, target: Path) -> Path:
        before.extend(source.read_bytes().splitlines())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(durable, "rename_new", killed)
        bench.replay()
    assert bench.events() == []
    assert bench.replay().exit_code == 0
    assert [event["id"] for event in bench.events()] == [orjson.loads(one)["id"] for one in before]


def test_every_event_of_a_request_has_an_id_of_its_own(bench: Bench) -> None:
    body = b'[{"n":1},{"n":2},{"n":3}]'
    bench.write(line(b"/c/demo", b"POST", body=body, content_type=b"application/json"))
    assert bench.replay().exit_code == 0
    events = bench.events()
    assert len({event["id"] for event in events}) == 3
    assert all(re.fullmatch(JSON_SCHEMA["properties"]["id"]["pattern"], event["id"]) for event in events)


def test_what_cannot_be_read_is_set_aside_and_counted(bench: Bench) -> None:
    good, torn = clicks(1)[0], clicks(1)[0][:60]
    bench.write(b"garbage \xff", good, torn + clicks(1)[0], torn, line(b"/c/nobody"), torn, end=b"")
    found = bench.replay()
    assert found.exit_code == 1
    assert len(bench.events()) == 2
    assert "6 lines read, 2 events replayed, 5 quarantined" in found.output
    assert bench.bad.splitlines() == [
        torn,
        b"garbage \xff",
        torn,
        torn,
        bench.spill.read_bytes().split(b"\n")[4],
    ]
    again = bench.replay()
    assert "0 lines read, 0 events replayed, 0 quarantined" in again.output
    assert len(bench.bad.splitlines()) == 5


def test_a_torn_tail_that_grows_whole_is_replayed(bench: Bench) -> None:
    first, second = clicks(2)
    bench.write(first, second[:50], end=b"")
    bench.replay()
    bench.write(first, second)
    assert bench.replay().exit_code == 0
    assert [event["params"]["n"] for event in bench.events()] == ["0", "1"]


def test_a_source_that_rejects_bad_signatures_rejects_them_here_too(bench: Bench) -> None:
    bench.write(
        line(b"/c/signed?n=1", extra={"X-Token": b"open sesame"}),
        line(b"/c/signed?n=2", extra={"X-Token": b"guess"}),
        line(b"/c/signed?n=3", extra={"X-Token": b"-"}),
    )
    found = bench.replay()
    assert (found.exit_code, "refused, signature" in found.output) == (1, True)
    assert [(event["params"]["n"], event["signature"]) for event in bench.events()] == [("1", "ok")]
    assert bench.bad.count(b"\n") == 2


def test_a_dry_run_leaves_everything_as_it_is(bench: Bench) -> None:
    bench.write(b"garbage", *clicks(2), clicks(1)[0][:40], end=b"")
    before = sorted(bench.place.rglob("*"))
    assert "2 events would be replayed, 2 quarantined" in bench.replay("--dry-run").output
    assert sorted(bench.place.rglob("*")) == before


def test_many_rounds_make_files_that_do_not_clash(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_spill, "ROUND_BYTES", 1000)
    bench.write(*clicks(20))
    assert bench.replay().exit_code == 0
    (bench.place / "mark").unlink()  # the files themselves say what they hold
    assert bench.replay().exit_code == 0
    assert len(list(bench.clicks.glob("*.ndjson"))) > 3
    assert sorted(int(event["params"]["n"]) for event in bench.events()) == list(range(20))


def test_keys_and_traces_travel_beside_the_events_as_with_the_daemon(bench: Bench) -> None:
    converter = Converter(config.load(bench.config))
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    entry = converter.entry(parse(line(b"/c/demo?imei=ABC", trace=trace)))
    assert (entry.keys, entry.trace) == ((b"abc",), trace)
    assert converter.entry(parse(line(b"/c/demo?imei=ABC", trace=b"x" * 129))).trace is None


def test_a_file_that_is_not_there_is_named(bench: Bench) -> None:
    found = bench.replay()
    assert (found.exit_code, "no spill file" in found.output) == (1, True)


def test_where_the_disk_is_full_it_ends_with_what_could_not_be_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(*clicks(2))

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "clicks")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_all", full)
        done = bench.replay()
    assert (done.exit_code, "clicks: No space left on device" in done.output) == (1, True)
    assert bench.replay().exit_code == 0
    assert len(bench.events()) == 2


def test_a_log_of_nothing_but_what_cannot_be_read_makes_no_file(bench: Bench) -> None:
    bench.write(b"garbage", b"more of it")
    assert bench.replay().exit_code == 1
    assert (list(bench.clicks.iterdir()), bench.bad) == ([], b"garbage\nmore of it\n")
    assert bench.replay().exit_code == 0, "it was done, and is not set aside again"


def test_with_kafka_every_event_goes_there_and_dead_letters_are_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sender for a broker; the rest of the command is as it is."""
    kafka = f'[kafka]\nbootstrap = ["127.0.0.1:1"]\ndead_letter_directory = "{bench.place}"\n'
    bench.config.write_text(kafka + SOURCES)
    sent: list[bytes] = []

    async def send(payloads: Sequence[bytes]) -> DeliveryReport:
        sent.extend(payloads)
        return DeliveryReport({"demo": [2, 100]}, {("demo", "MessageSizeTooLargeError"): 1})

    monkeypatch.setattr(
        replay_spill, "command_sender", lambda _: SimpleNamespace(send=send, close=AsyncMock())
    )
    bench.write(*clicks(3))
    done = bench.replay()
    assert (done.exit_code, "       1  dead letters: MessageSizeTooLargeError" in done.output) == (1, True)
    events = [orjson.loads(one) for one in b"".join(sent).splitlines() if one.startswith(b"{")]
    assert [event["params"]["n"] for event in events] == list("012")
    assert "0 lines read" in bench.replay().output
