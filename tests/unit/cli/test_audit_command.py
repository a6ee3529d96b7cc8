"""`ingestd audit` where manifests, chains and directories are not as they should be, and what it says."""

from __future__ import annotations

import errno
import itertools
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from ingestd.cli import audit_files, main
from ingestd.cli.audit import first_hour
from ingestd.cli.audit_report import AuditReport
from ingestd.errors import IngestdError
from ingestd.file import names, scan
from ingestd.file.manifest import Chain
from ingestd.file.scan import Scan
from ingestd.tally import Known, parse_hour
from tests.support.audited import LINES, audit, change, only
from tests.support.event_files import finished, mark_removed, read, write_manifest


@pytest.fixture
def kept(tmp_path: Path) -> list[Path]:
    """Three files with manifests, one after the other."""
    (tmp_path / "clicks").mkdir()
    paths = [finished(tmp_path / "clicks", number, lines) for number, lines in enumerate(LINES)]
    for path in paths:
        write_manifest(path)
    return paths


def test_a_chain_that_cannot_be_read_is_a_finding_by_its_name(kept: list[Path]) -> None:
    (kept[0].parent / "clicks-one.chain").write_bytes(b"{")
    found = only(audit(kept))
    assert (found.kind, found.where) == ("chain", "clicks-one.chain")
    assert "cannot be read" in found.what


def test_a_manifest_under_another_s_name_is_a_finding(kept: list[Path]) -> None:
    path = names.manifest_path(kept[1])
    path.write_bytes(names.manifest_path(kept[0]).read_bytes())
    found = audit(kept).findings
    assert [(one.kind, one.where) for one in found] == [
        ("manifest", path.name), ("chain", names.plain_name(kept[1].name)),
    ]  # fmt: skip


def test_two_manifests_of_one_number_are_a_finding(kept: list[Path]) -> None:
    path = names.manifest_path(kept[1])
    tree = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps({**tree, "number": 1}))
    found = [one.what for one in audit(kept).findings if one.kind == "chain"]
    assert found[0] == f"has number 1, as {names.plain_name(kept[0].name)} has"
    assert len(found) == 2, "and number 2 is nobody's"


def test_a_manifest_that_goes_while_the_directory_is_read_is_retention_s_doing(
    kept: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one that goes with its file after it was read."""
    real, gone = Path.read_bytes, names.manifest_path(kept[0])

    def vanish(path: Path) -> bytes:
        if path == gone:
            path.unlink(missing_ok=True)
        return real(path)

    mark_removed(kept[0], 1000.0)
    kept[0].unlink()
    chain = Chain.read(kept[0].parent / "clicks-one.chain")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", vanish)
        assert only(audit(kept)).kind == "chain", "it was not pruned, so its number is missed"
    (kept[0].parent / "clicks-one.chain").write_bytes(orjson.dumps(asdict(replace(chain, pruned=1))))
    assert audit(kept).findings == []
    kept[1].unlink()
    seen = read(kept[1])
    names.manifest_path(kept[1]).unlink()
    report = AuditReport("files")
    audit_files._absent(kept[1].parent, seen, report)
    assert report.findings[0].what == "the file is gone", "nobody has said that it was removed"
    report = AuditReport("files")
    audit_files._absent(kept[1].parent, replace(seen, removed_at=1000), report)
    assert report.findings == []


def test_of_many_repeats_a_few_are_named(kept: list[Path]) -> None:
    change(kept[0], [*LINES[0], *LINES[0][:1] * 5, *LINES[0][1:2] * 6])
    five, six = (one.what for one in audit(kept).findings)
    assert (five.count("-7000-"), five.endswith(", ...")) == (5, False)
    assert (six.count("-7000-"), six.endswith(", ...")) == (5, True)


def test_where_nothing_was_looked_at_nothing_is_called_all_there(tmp_path: Path) -> None:
    """An empty directory, and the one above the right one."""
    for directory in ("empty", "wrong/clicks"):
        (tmp_path / directory).mkdir(parents=True)
    write_manifest(finished(tmp_path / "wrong" / "clicks", 1, LINES[0]))
    for name in ("empty", "wrong"):
        said = CliRunner().invoke(main, ["audit", str(tmp_path / name)])
        assert said.exit_code == 4
        assert f"note: there are no manifests in {tmp_path / name}" in said.stdout
        assert said.stdout.endswith("0 files, 0 events, NOTHING was looked at\n")
    assert "1 not looked at, a directory with manifests in it: clicks" in said.stdout
    said = CliRunner().invoke(main, ["audit", str(tmp_path / "none")])
    assert (said.exit_code, "not a directory" in said.output) == (1, True)


def test_hours_without_an_event_are_not_called_all_there(kept: list[Path]) -> None:
    said = CliRunner().invoke(main, ["audit", str(kept[0].parent), "--hours", "2031-01-01"])
    assert said.exit_code == 4
    assert "note: none of 3 manifests has events of these hours" in said.stdout


def test_files_with_other_names_are_reported(kept: list[Path]) -> None:
    """A copy that somebody made by hand, say."""
    directory = kept[0].parent
    for name in ("copy.ndjson", f"{kept[0].name}.orig", "a b.zst", "README"):
        (directory / name).write_bytes(kept[0].read_bytes())
    for name in (".hidden", f"{kept[0].name}.bad", f"{kept[0].name}.zst.tmp"):
        (directory / name).touch()
    report = audit(kept)
    (note,) = report.notes
    few = f"README, a b.zst, {kept[0].name}.orig, ..."
    assert note == f"4 not looked at, not named as ingestd names files: {few}"
    assert report.status == 0


def test_an_open_file_beside_its_finished_one_is_not_still_being_written(kept: list[Path]) -> None:
    """A copy that was made twice has both; also where the finished one is compressed or gone by now."""
    for path in (kept[0], kept[1]):
        path.with_name(f"{path.name}.open").write_bytes(b"older")
    mark_removed(kept[1], 1.0)
    kept[1].unlink()
    (note,) = audit(kept).notes
    assert "left over by a copy" in note
    assert note.startswith("2 not looked at")


def test_manifests_and_chains_in_quarantine_are_reported(kept: list[Path]) -> None:
    for path in (names.manifest_path(kept[2]), kept[0].parent / "clicks-one.chain"):
        path.write_bytes(b"")
    write_manifest(kept[2])
    report = audit(kept)
    assert report.findings == []
    assert "2 not looked at, in quarantine" in report.notes[0]


def test_a_copy_from_before_chains_knew_their_directory_is_one_by_option(
    kept: list[Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(kept[0].parent, tmp_path / "copy"))
    chain = orjson.loads((copy / "clicks-one.chain").read_bytes())
    del chain["inode"]
    (copy / "clicks-one.chain").write_bytes(orjson.dumps(chain))
    for path in (copy / kept[2].name, names.manifest_path(copy / kept[2].name)):
        path.unlink()
    assert CliRunner().invoke(main, ["audit", str(copy)]).exit_code == 1
    said = CliRunner().invoke(main, ["audit", str(copy), "--copy"])
    assert said.exit_code == 0
    assert "clicks-one.chain is a copy, and 1 newer" in said.stdout


# interrupts


def interrupted_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the file of this number (from 0) is read."""
    real, seen = scan.scan, itertools.count()

    def interrupted(*arguments: Any, **named: Any) -> Any:
        if next(seen) == number:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(scan, "scan", interrupted)


def test_an_interrupt_shows_what_was_found_and_where_to_go_on(
    kept: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = change(kept[0], LINES[0][1:])
    with monkeypatch.context() as patch:
        interrupted_at(1, patch)
        said = CliRunner().invoke(main, ["audit", str(kept[0].parent)])
    assert said.exit_code == 130
    assert said.stdout.splitlines() == [
        f"MISSING  {name} demo 2023-11-14T22: 1 of 2 events are missing",
        f"note: 2 files were not looked at: go on with --from {kept[1].name}",
        "1 files, 12 events, interrupted",
    ]
    said = CliRunner().invoke(main, ["audit", str(kept[0].parent), "--from", kept[1].name])
    assert said.stdout == "2 files, 24 events, all there\n"


def test_an_interrupt_in_json_is_one_object(kept: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_at(0, monkeypatch)
    said = CliRunner().invoke(main, ["audit", str(kept[0].parent), "--json"])
    assert (said.exit_code, orjson.loads(said.stdout)["status"]) == (130, 130)


def test_a_file_that_is_as_it_was_is_read_once(kept: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower reading, line by line, is for those that are not."""
    slow: list[Path] = []
    real = scan.scan_lines

    def noted(path: Path, known: Known) -> Scan:
        slow.append(path)
        return real(path, known)

    monkeypatch.setattr(scan, "scan_lines", noted)
    assert audit(kept).status == 0
    assert slow == []
    change(kept[1], [*LINES[1], LINES[1][0]])
    assert audit(kept).status == 3
    assert slow == [kept[1]]


def test_a_directory_that_cannot_be_read_is_an_error_that_names_it(
    kept: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with pytest.raises(IngestdError, match=f"{kept[0].parent}: Input/output error"):
        audit(kept)


def test_without_a_directory_it_is_the_configured_one(kept: list[Path], tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    section = f'[file]\ndirectory = "{kept[0].parent}"\n'
    source = '[[source]]\nname = "demo"\npath = "/c/demo"\n'
    kafka = '[kafka]\nbootstrap = ["127.0.0.1:1"]\n'
    config.write_text(section + source)
    said = CliRunner().invoke(main, ["audit", "-c", str(config)])
    assert said.stdout == "3 files, 36 events, all there\n"
    config.write_text(kafka + source)
    said = CliRunner().invoke(main, ["audit", "-c", str(config)])
    assert (said.exit_code, "no [file] section; name a directory" in said.output) == (1, True)
    said = CliRunner().invoke(main, ["audit", "-c", str(config), "--topic", str(kept[0].parent)])
    assert (said.exit_code, "not together with --topic" in said.output) == (1, True)


def test_each_finding_is_a_line_with_its_source_and_hour(kept: list[Path]) -> None:
    name = change(kept[1], LINES[1][1:])
    said = CliRunner().invoke(main, ["audit", str(kept[0].parent)])
    assert said.stdout.splitlines() == [
        f"MISSING  {name} demo 2023-11-14T22: 1 of 2 events are missing",
        "3 files, 36 events, NOT all as it was",
    ]


def test_the_first_hour_asked_for_is_that_of_the_text() -> None:
    assert first_hour(None) is None
    assert first_hour("2023-11-14T23..2023-11-16") == parse_hour("2023-11-14T23")
