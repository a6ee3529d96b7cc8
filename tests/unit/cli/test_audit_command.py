"""`ingestd audit` where manifests, chains and directories are not as they should be, and what it says."""

from __future__ import annotations

import errno
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from ingestd.cli import audit_files, main
from ingestd.cli.audit import first_hour
from ingestd.cli.audit_report import AuditReport
from ingestd.errors import IngestdError
from ingestd.file import names
from ingestd.file.manifest import Chain
from ingestd.tally import parse_hour
from tests.support.event_files import finished, mark_removed, read, write_manifest
from tests.unit.cli.test_audit_files import LINES, audit, change, only


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


def test_a_directory_that_is_none_and_one_without_manifests_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = CliRunner().invoke(main, ["audit", str(tmp_path / "empty")])
    assert (said.exit_code, "note: there are no manifests in" in said.stdout) == (0, True)
    said = CliRunner().invoke(main, ["audit", str(tmp_path / "none")])
    assert (said.exit_code, "is no directory" in said.output) == (1, True)


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
    assert (said.exit_code, "there is no [file] section; name a directory" in said.output) == (1, True)
    said = CliRunner().invoke(main, ["audit", "-c", str(config), "--topic", str(kept[0].parent)])
    assert (said.exit_code, "either a directory or --topic" in said.output) == (1, True)


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
