"""`ingestd replay` without Kafka: what it reads, where it goes on, what it leaves out."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import orjson
import pytest
import zstandard
from click.testing import CliRunner, Result

from ingestd.cli import main, replay_files
from ingestd.cli.replay_checkpoint import Checkpoints
from ingestd.cli.replay_files import ReplayTotals, event_of, expand, read_lines
from ingestd.errors import IngestdError
from ingestd.kafka.dead_letter_file import dead_letter
from ingestd.kafka.delivery_report import DeliveryReport
from ingestd.kafka.records import Record
from ingestd.kafka.sender import Sender
from ingestd.spool.spool import Spool
from tests.support.fakes import event_line

CONFIG = """
[file]
directory = "{place}/clicks"
[[source]]
name = "demo"
path = "/c/demo"
"""


class Recorder:
    """Takes what is sent; fails at the round `fail`."""

    def __init__(self, fail: int = -1) -> None:
        self.rounds: list[bytes] = []
        self.fail = fail

    async def send(self, lines: Sequence[bytes]) -> DeliveryReport:
        if len(self.rounds) == self.fail:
            raise IngestdError("killed")
        data = b"".join(lines)
        self.rounds.append(data)
        count = sum(line.startswith(b"{") for line in data.splitlines())
        return DeliveryReport({"demo": [count, len(data)]})


class NoBar:
    def update(self, step: int) -> None:
        assert step >= 0


def send_file(file: Path, sender: Recorder, marks: Checkpoints) -> ReplayTotals:
    totals = ReplayTotals()
    asyncio.run(
        replay_files._replay_file(file, str(file), cast(Sender, sender), marks, totals, cast(Any, NoBar()))
    )
    return totals


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(replay_files, "ROUND_BYTES", 1000)
    file, marks = tmp_path / "a.ndjson", tmp_path / "checkpoint"
    file.write_bytes(b"".join(event_line(n) for n in range(50)))
    first = Recorder(fail=4)
    with pytest.raises(IngestdError):
        send_file(file, first, Checkpoints(marks))
    second = Recorder()
    totals = send_file(file, second, Checkpoints(marks))
    assert b"".join(first.rounds + second.rounds) == file.read_bytes()
    assert len(first.rounds) == 4
    assert totals.delivered == totals.events < 50
    third = Recorder()
    assert send_file(file, third, Checkpoints(marks)).events == 0
    assert third.rounds == []


def test_a_key_stays_with_its_event_wherever_a_round_ends(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(b"".join(b'#{"k":"key%d"}\n' % n + event_line(n) for n in range(20)))
    for size in range(1, 1200, 37):
        monkeypatch.setattr(replay_files, "ROUND_BYTES", size)
        sender = Recorder()
        totals = send_file(file, sender, Checkpoints(tmp_path / f"checkpoint-{size}"))
        assert all(
            one.startswith(b"#") and not one.splitlines()[-1].startswith(b"#") for one in sender.rounds
        )
        assert b"".join(sender.rounds) == file.read_bytes()
        assert totals.delivered == totals.events == 20


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_files_are_read_plain_and_compressed_in_several_frames(tmp_path: Path, suffix: str) -> None:
    lines = [event_line(n) for n in range(3000)]
    halves = [b"".join(lines[:1000]), b"".join(lines[1000:])]
    packs: dict[str, Callable[[bytes], bytes]] = {
        "": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress
    }  # fmt: skip
    pack = packs[suffix]
    path = tmp_path / f"a.ndjson{suffix}"
    path.write_bytes(b"".join(pack(half) for half in halves))
    assert [line + b"\n" for line in read_lines(path)] == lines


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.ndjson{suffix}"
    path.write_bytes(b"\x1f\x8b\x08\x00" + b"junk" * 9 if suffix == ".gz" else b"no frame at all")
    with pytest.raises(IngestdError, match=r"a\.ndjson"):
        list(read_lines(path))


def test_a_spool_is_read_with_its_keys(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "0", max_bytes=1 << 24)
    spool.open()
    payload = b'#{"k":"a"}\n' + event_line(1) + event_line(2)
    spool.append([payload])
    spool.close()
    assert b"\n".join(read_lines(tmp_path / "0")) + b"\n" == payload


def test_a_dead_letter_gives_its_event_back_byte_for_byte() -> None:
    event = event_line(7)[:-1]
    record = Record("demo", "clicks", None, event, 0, [])
    assert event_of(dead_letter(record, 'a "reason"')) == event


@pytest.mark.parametrize(
    "line", [b"", b"{}", event_line(1)[:-9], b'{"reason":"x","event":{"no":1}}', b"GET /"]
)
def test_what_is_no_event_is_left_out(line: bytes) -> None:
    assert event_of(line) is None


def test_a_directory_gives_its_finished_files_and_each_once(tmp_path: Path) -> None:
    for name in ("b.ndjson", "a.ndjson.gz", "a.ndjson", "c.ndjson.open", "c.ndjson.bad", "d.ndjson.zst"):
        (tmp_path / name).touch()
    assert [path.name for path in expand((tmp_path,))] == ["a.ndjson.gz", "b.ndjson", "d.ndjson.zst"]
    with pytest.raises(IngestdError, match="is not there"):
        list(expand((tmp_path / "missing",)))


def test_a_dry_run_counts_sends_nothing_and_keeps_no_checkpoint(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(CONFIG.format(place=tmp_path))
    (tmp_path / "clicks").mkdir()
    (tmp_path / "clicks" / "a.ndjson").write_bytes(event_line(1) + b"junk\n" + event_line(2))
    done = CliRunner().invoke(main, ["replay", "-c", "c.toml", "--dry-run", "clicks"])
    assert "2 events would be sent" in done.output, done.output
    assert "1 lines skipped that are not events" in done.output
    assert done.exit_code == 1
    assert not (tmp_path / "replay.checkpoint").exists()
    without = CliRunner().invoke(main, ["replay", "-c", "c.toml", "clicks"])
    assert (without.exit_code != 0, "[kafka]" in without.output) == (True, True)


def test_a_foreign_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_text("not ours")
    with pytest.raises(IngestdError, match="--checkpoint"):
        Checkpoints(path)
    assert path.read_text() == "not ours"


def test_a_checkpoint_survives_a_new_process(tmp_path: Path) -> None:
    marks = Checkpoints(tmp_path / "checkpoint")
    marks.save("/a", 5)
    marks.save("/b", 7)
    again = Checkpoints(tmp_path / "checkpoint")
    assert (again.done("/a"), again.done("/b"), again.done("/c")) == (5, 7, 0)
    assert orjson.loads((tmp_path / "checkpoint").read_bytes()) == {"/a": 5, "/b": 7}


KAFKA = """
[kafka]
bootstrap = ["127.0.0.1:1"]
"""


def replaying(place: Path, monkeypatch: pytest.MonkeyPatch, config: str, *arguments: str) -> Result:
    monkeypatch.chdir(place)
    (place / "c.toml").write_text(config)
    return CliRunner().invoke(main, ["replay", "-c", "c.toml", *arguments])


def test_without_inputs_it_is_the_configured_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clicks").mkdir()
    (tmp_path / "clicks" / "a.ndjson").write_bytes(event_line(1))
    done = replaying(tmp_path, monkeypatch, KAFKA + CONFIG.format(place=tmp_path), "--dry-run")
    assert (done.exit_code, "1 events would be sent" in done.output) == (0, True), done.output


def test_where_there_is_nothing_to_replay_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clicks").mkdir()
    done = replaying(tmp_path, monkeypatch, KAFKA + CONFIG.format(place=tmp_path))
    assert done.exit_code == 1
    assert f"nothing to replay: no finished file among {tmp_path}/clicks" in done.output


def test_a_spool_is_an_input_as_large_as_its_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "0", max_bytes=1 << 24)
    spool.open()
    spool.append([event_line(1) + event_line(2)])
    spool.close()
    assert replay_files.size_of(tmp_path / "0") == next((tmp_path / "0").glob("*.spool")).stat().st_size
    done = replaying(tmp_path, monkeypatch, CONFIG.format(place=tmp_path), "--dry-run", "0")
    assert (done.exit_code, "2 events would be sent" in done.output) == (0, True), done.output


def test_a_dry_run_of_many_rounds_counts_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_files, "ROUND_BYTES", 1000)
    (tmp_path / "a.ndjson").write_bytes(b"".join(event_line(n) for n in range(50)))
    done = replaying(tmp_path, monkeypatch, CONFIG.format(place=tmp_path), "--dry-run", "a.ndjson")
    assert "50 events would be sent" in done.output, done.output
    assert not (tmp_path / "replay.checkpoint").exists()


def test_dead_letters_are_told_by_reason_and_are_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that refuses every second event; the rest of the command is as it is."""
    sender = Recorder()

    async def half(lines: Sequence[bytes]) -> DeliveryReport:
        sent = await sender.send(lines)
        sent.delivered["demo"][0] -= 1
        sent.dead["demo", "MessageSizeTooLargeError"] = 1
        return sent

    monkeypatch.setattr(replay_files, "ROUND_BYTES", 1)
    monkeypatch.setattr(
        replay_files, "command_sender", lambda _: SimpleNamespace(send=half, close=AsyncMock())
    )
    (tmp_path / "a.ndjson").write_bytes(event_line(1) + event_line(2))
    dead = f'dead_letter_directory = "{tmp_path}"\n'
    done = replaying(tmp_path, monkeypatch, KAFKA + dead + CONFIG.format(place=tmp_path), "a.ndjson")
    assert done.exit_code == 1
    assert "0 events delivered" in done.output
    assert "       2  dead letters: MessageSizeTooLargeError" in done.output
    assert orjson.loads((tmp_path / "replay.checkpoint").read_bytes()) == {str(tmp_path / "a.ndjson"): 2}
