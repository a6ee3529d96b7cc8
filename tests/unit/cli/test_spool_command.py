"""`ingestd spool ls|verify|export` over real spools."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from ingestd.cli import main
from ingestd.spool.spool import Spool
from tests.support.fakes import event_line

EVENTS = 30


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "c.toml").write_text(
        f'[spool]\ndirectory = "{tmp_path}/spool"\n[[source]]\nname = "demo"\npath = "/c/demo"\n'
    )
    return tmp_path


def fill(place: Path, instance: str, released: int = 0) -> None:
    spool = Spool(place / "spool" / instance, max_bytes=1 << 24, segment_bytes=2000)
    spool.open()
    ends = [spool.append([b'#{"k":"x"}\n' + event_line(number)]) for number in range(EVENTS)]
    if released:
        spool.release(ends[released - 1])
    spool.close()


def call(place: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["spool", command, "-c", str(place / "c.toml"), *arguments])


def test_ls_shows_every_segment_of_every_instance(place: Path) -> None:
    fill(place, "0")
    fill(place, "1", released=EVENTS // 2)
    done = call(place, "ls", "--json")
    assert done.exit_code == 0, done.output
    rows = orjson.loads(done.stdout)
    assert {row["instance"] for row in rows} == {"0", "1"}
    assert sum(row["frames"] for row in rows if row["instance"] == "0") == EVENTS
    text = call(place, "ls", "--instance", "0")
    assert len(text.output.splitlines()) == 1 + sum(row["instance"] == "0" for row in rows)


def test_verify_says_sound_and_finds_a_flipped_byte(place: Path) -> None:
    fill(place, "0")
    sound = call(place, "verify")
    assert (sound.exit_code, "sound" in sound.output) == (0, True)
    segment = min((place / "spool" / "0").glob("*.spool"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    damaged = call(place, "verify")
    assert (damaged.exit_code, "DAMAGED" in damaged.output, segment.name in damaged.output) == (1, True, True)
    (report,) = orjson.loads(call(place, "verify", "--json").stdout)
    assert report["sound"] is False
    assert report["findings"][0]["file"] == segment.name
    assert segment.read_bytes() == bytes(data), "looking changes nothing"


def test_export_writes_what_is_not_delivered_as_ndjson(place: Path) -> None:
    fill(place, "0", released=10)
    target = place / "out.ndjson"
    done = call(place, "export", "--output", str(target))
    assert done.exit_code == 0, done.output
    assert target.read_bytes() == b"".join(event_line(number) for number in range(10, EVENTS))


def test_no_spool_is_told(place: Path) -> None:
    for arguments in ([], ["--instance", "7"]):
        done = call(place, "ls", *arguments)
        assert done.exit_code != 0
        assert "no spool" in done.output


def test_a_segment_with_nothing_whole_in_it_has_no_times(place: Path) -> None:
    fill(place, "0")
    newest = max((place / "spool" / "0").glob("*.spool"))
    newest.write_bytes(newest.read_bytes()[:60])
    done = call(place, "ls")
    assert done.exit_code == 0, done.output
    row = done.output.splitlines()[-1].split()
    assert (row[1], row[2], row[4:6]) == (newest.name, "0", ["-", "-"])


@pytest.mark.parametrize("command", ["ls", "verify", "export"])
def test_a_spool_that_cannot_be_read_is_named_with_the_reason(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place, "0")

    def unreadable(*arguments: object) -> bytes:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "pread", unreadable)
    done = call(place, command)
    assert done.exit_code == 1
    assert f"{place}/spool/0: Permission denied" in done.output
