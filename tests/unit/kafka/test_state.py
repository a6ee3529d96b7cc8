"""What of the spool is delivered: ranges taken out of what is left, in any order."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestd.kafka.state import Progress, State
from ingestd.spool.spool import Position
from tests.support.filing import synced

LAST = 60


def at(number: int) -> Position:
    """Positions in a row, across segments of ten."""
    return Position(1 + number // 10, number % 10)


def undelivered(progress: Progress, end: int) -> set[int]:
    """Which of the payloads number, number + 1 below `end` are still to be delivered."""
    ranges = [*progress.gaps, (progress.live, at(end))]
    return {n for n in range(end) if any(start <= at(n) and at(n + 1) <= stop for start, stop in ranges)}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("skip"), st.integers(0, LAST), st.just(0)),
        st.tuples(st.just("deliver"), st.integers(0, LAST), st.integers(0, LAST)),
    ),
    max_size=40,
)


@given(steps)
def test_what_is_left_is_what_was_not_delivered(taken: list[tuple[str, int, int]]) -> None:
    progress = Progress([], at(0))
    left, live = set(range(LAST)), 0
    for step, low, high in taken:
        if step == "skip":
            progress.skip_to(at(low))
            live = max(live, low)
        else:
            low, high = (
                min(low, high, live),
                min(high, live),
            )  # only what has been skipped over is ever on its way
            before = progress.encode()
            after = progress.without([(at(low), at(high))])
            assert progress.encode() == before
            progress.deliver(at(low), at(high))
            assert after.encode() == progress.encode()
            left -= set(range(low, high))
    assert undelivered(progress, LAST) == left
    assert progress.oldest <= progress.live
    assert progress.gaps == sorted(progress.gaps)
    assert all(start < stop for start, stop in progress.gaps)
    assert all(one[1] <= two[0] for one, two in zip(progress.gaps, progress.gaps[1:], strict=False))
    assert Progress.decode(progress.encode()).encode() == progress.encode()


def test_a_gap_grows_where_the_next_one_begins_at_its_end() -> None:
    progress = Progress([], at(0))
    progress.skip_to(at(3))
    progress.skip_to(at(7))
    assert progress.gaps == [(at(0), at(7))]
    progress.deliver(at(2), at(4))
    assert progress.gaps == [(at(0), at(2)), (at(4), at(7))]


def test_a_manifest_is_part_of_it_where_there_is_one() -> None:
    """Without one nothing is said of it."""
    plain = Progress([(at(2), at(4))], at(9))
    assert plain.encode() == b'{"gaps":[["1:2","1:4"]],"live":"1:9"}'
    counted = Progress(plain.gaps, plain.live, [{"events": 1}])
    assert counted.encode() == plain.encode()[:-1] + b',"manifest":[{"events":1}]}'
    for one in (plain, counted):
        assert Progress.decode(one.encode()).manifest == one.copy().manifest == one.manifest


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'{"gaps":[["x","y"]],"live":"1:0"}', b'{"gaps":1,"live":2}']
)
def test_no_progress_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a progress"):
        Progress.decode(text)


class TestSavedProgress:
    def test_gives_back_what_it_was_given(self, tmp_path: Path) -> None:
        file = State(tmp_path, "0")
        kept = Progress([(at(2), at(4))], at(9))
        file.save(kept)
        assert file.load(at(1), at(20)).encode() == kept.encode()

    @pytest.mark.parametrize(
        ("checkpoint", "end"), [(5, 20), (0, 8)], ids=["released since", "behind the spool's end"]
    )
    def test_is_not_believed_where_it_does_not_fit_the_spool(
        self, tmp_path: Path, checkpoint: int, end: int
    ) -> None:
        file = State(tmp_path, "0")
        file.save(Progress([(at(2), at(4))], at(9)))
        assert file.load(at(checkpoint), at(end)).encode() == Progress([], at(checkpoint)).encode()

    def test_is_believed_where_it_just_fits(self, tmp_path: Path) -> None:
        file = State(tmp_path, "0")
        kept = Progress([(at(2), at(4))], at(9))
        file.save(kept)
        assert file.load(at(2), at(9)).encode() == kept.encode()

    def test_is_one_file_and_not_for_everybody_to_read(self, tmp_path: Path) -> None:
        path = tmp_path / "0.progress"
        for number in (1, 2):
            State(tmp_path, "0").save(Progress([], at(number)))
        assert [(one, stat.S_IMODE(one.stat().st_mode)) for one in tmp_path.iterdir()] == [(path, 0o640)]

    def test_damaged_or_missing_means_from_the_checkpoint_on(self, tmp_path: Path) -> None:
        path = tmp_path / "0.progress"
        assert State(tmp_path, "0").load(at(3), at(9)).oldest == at(3)
        path.write_bytes(b'{"gaps":[[')
        assert State(tmp_path, "0").load(at(3), at(9)).oldest == at(3)

    def test_that_cannot_be_saved_is_no_failure(self, tmp_path: Path) -> None:
        State(tmp_path / "missing", "0").save(Progress([], at(1)))


def test_the_last_owner_is_remembered(tmp_path: Path) -> None:
    state = State(tmp_path, "0")
    assert state.read_owner() == ""
    state.write_owner("a" * 32)
    state.write_owner("b" * 32)
    assert State(tmp_path, "0").read_owner() == "b" * 32
    assert [path.name for path in tmp_path.iterdir()] == ["0.owner"]


def test_the_owner_s_name_is_durable_when_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = synced(monkeypatch)
    State(tmp_path, "0").write_owner("a" * 32)
    assert [what for _, what in seen] == [32, ["0.owner"]]
