"""Manifests on disk and the last audit, as the page shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestd.admin import evidence
from tests.support.event_files import event, finished, write_manifest


def finish(directory: Path, *sizes: int) -> None:
    """A finished file with its manifest for each number of events."""
    for number, size in enumerate(sizes):
        write_manifest(finished(directory, number, [event(one) for one in range(size)]))


def test_files_and_manifests_are_counted_and_the_newest_shown(tmp_path: Path) -> None:
    finish(tmp_path, 3, 5)
    found = evidence.look(tmp_path, "clicks")
    assert (found["files"], found["manifests"], found["without_manifest"]) == (2, 2, 0)
    assert found["defects"] == []
    assert {(one["number"], one["events"]) for one in found["newest"]} == {(1, 3), (2, 5)}
    assert found["audit"] is None


def test_a_manifest_that_is_gone_or_damaged_is_a_defect(tmp_path: Path) -> None:
    finish(tmp_path, 1, 1, 1)
    [first, second, _] = sorted(tmp_path.glob("*.manifest"))
    first.unlink()
    second.write_text("{")
    found = evidence.look(tmp_path, "clicks")
    assert found["without_manifest"] == 1
    assert any(second.name in one and "cannot be read" in one for one in found["defects"])
    assert any("error" in one for one in found["newest"])


def test_of_very_many_manifests_only_the_newest_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "CHECKED", 2)
    monkeypatch.setattr(evidence, "SHOWN", 1)
    finish(tmp_path, 1, 1, 1)
    next(iter(tmp_path.glob("*.chain"))).write_text("{")
    found = evidence.look(tmp_path, "clicks")
    assert (found["checked"], found["defects"], len(found["newest"])) == (False, [], 1)


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        evidence.look(tmp_path / "nowhere", "clicks")


def test_a_verdict_is_kept_and_anything_else_in_its_place_is_none(tmp_path: Path) -> None:
    evidence.note_audit(tmp_path, "clicks", status=1, files=3, events=9, findings=["MISSING"] * 99, hours="")
    note = evidence.last_audit(tmp_path, "clicks")
    assert note is not None
    assert (note["status"], note["files"], note["events"], len(note["findings"])) == (1, 3, 9, evidence.SHOWN)
    assert evidence.audit_note(tmp_path, "clicks").stat().st_mode & 0o777 == 0o644
    for damaged in (b"", b"{", b"[1]"):
        evidence.audit_note(tmp_path, "clicks").write_bytes(damaged)
        assert evidence.last_audit(tmp_path, "clicks") is None
