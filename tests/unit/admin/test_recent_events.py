"""A source's last events, out of the file that is being written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from ingestd.admin import recent_events
from ingestd.admin.recent_events import last_events

HIDDEN = frozenset({"token"})


def line(number: int, source: str = "demo", /, **params: str) -> bytes:
    event: dict[str, Any] = {"v": 1, "id": str(number), "source": source, "params": params, "flags": []}
    return orjson.dumps(event) + b"\n"


def ids(path: Path, source: str = "demo", most: int = 20) -> list[str]:
    return [event["id"] for event in last_events(path, source, HIDDEN, most)]


@pytest.fixture(params=[17, 64, 300, 1 << 17])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines lie across the pieces the file is read in, wherever these are cut."""
    monkeypatch.setattr(recent_events, "PIECE_BYTES", request.param)


@pytest.mark.usefixtures("piece")
def test_the_newest_come_first_and_only_the_source_s(tmp_path: Path) -> None:
    path = tmp_path / "a.open"
    path.write_bytes(b"".join(line(number, "demo" if number % 3 else "other") for number in range(30)))
    assert ids(path) == [str(number) for number in range(29, -1, -1) if number % 3]
    assert ids(path, most=2) == ["29", "28"]
    assert ids(path, "other") == [str(number) for number in range(27, -1, -3)]


@pytest.mark.usefixtures("piece")
def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.open"
    path.write_bytes(line(1) + line(2)[:40])
    assert ids(path) == ["1"]


def test_credentials_are_masked(tmp_path: Path) -> None:
    path = tmp_path / "a.open"
    path.write_bytes(line(1, token="t0p-secret"))
    [event] = last_events(path, "demo", HIDDEN)
    assert event["params"] == {"token": "***"}


def test_a_source_named_in_another_s_parameters_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.open"
    path.write_bytes(line(1, "other", q='"source":"demo"') + line(2, "other", source="demo"))
    assert ids(path) == []


def test_no_more_of_the_file_is_read_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_events, "FAR_BYTES", 400)
    path = tmp_path / "a.open"
    path.write_bytes(line(1) + line(2, "other") * 100 + line(3))
    assert ids(path) == ["3"]


def test_an_empty_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.open"
    path.write_bytes(b"")
    assert ids(path) == []
