"""The wall clock: what is believed of it, and what is said where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestd import intake
from ingestd.cli import check, main
from ingestd.system import clock
from tests.support.fakes import assert_conserved
from tests.support.memory_daemon import MemoryDaemon, get

SECOND = 1_000_000_000


@pytest.mark.parametrize("now", [clock.EARLIEST_NS, clock.LATEST_NS - 1, 1_800_000_000 * SECOND])
def test_a_clock_that_can_be_right_is_no_trouble(now: int) -> None:
    assert clock.error(now) == ""
    assert len(str(now // 1_000_000)) == 13, "a line's places hold so many digits"


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (5 * SECOND, "the clock says 1970-01-01T00:00:05Z"),
        (-5 * SECOND, "the clock says 1969-12-31T23:59:55Z"),
        (clock.EARLIEST_NS - 1, "the clock says 2024-12-31T23:59:59Z"),
        (clock.LATEST_NS, "the clock says 2286-11-20T17:46:40Z"),
        (1 << 100, "the clock says 1267650600228229401496 s since 1970"),
    ],
)
def test_a_clock_that_cannot_be_right_is_told_with_what_it_says(now: int, said: str) -> None:
    assert clock.error(now) == said


def test_check_warns_of_a_wrong_clock_and_does_not_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A reload runs it first, and must not fail because of the clock."""
    monkeypatch.setattr(check, "time_ns", lambda: 5 * SECOND)
    file = f'[file]\ndirectory = "{tmp_path}"\n'
    (tmp_path / "c.toml").write_text(file + '[[source]]\nname = "demo"\npath = "/c/demo"\n')
    result = CliRunner().invoke(main, ["check", "-c", str(tmp_path / "c.toml")])
    assert result.exit_code == 0
    assert "warning: this machine: the clock says 1970-01-01T00:00:05Z; events are refused" in result.stderr


@pytest.mark.parametrize("acks", [True, False])
@pytest.mark.parametrize("now", [0, -SECOND, clock.EARLIEST_NS - 1, clock.LATEST_NS])
async def test_no_event_is_taken_by_a_wrong_clock(
    monkeypatch: pytest.MonkeyPatch, now: int, acks: bool
) -> None:
    busy = {"status": 529, "body": "later", "retry_after": 7}

    source = {"name": "demo", "path": "/c/demo", "on_overload": busy}
    async with MemoryDaemon(source, acks=acks) as daemon:
        monkeypatch.setattr(intake, "time_ns", lambda: now)
        [reply] = await daemon.ask(get(b"/c/demo?a=1"))
        assert (reply.status, reply.body) == (529, b"later"), "the source's own word for it"
        assert daemon.counters.of("demo").rejected == {"clock": 1}
        assert_conserved(daemon.counters)
        monkeypatch.setattr(intake, "time_ns", lambda: clock.EARLIEST_NS)
        assert [reply.status for reply in await daemon.ask(get(b"/c/demo?a=1"))] == [200]
