"""`ingestd audit` over files: each damage by name, and nothing said of what is whole."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from ingestd.cli import main
from ingestd.cli.audit import parse_hours
from ingestd.errors import IngestdError
from ingestd.file import compression, manifests, names
from ingestd.file.inventory import Inventory
from ingestd.file.scan import scan
from tests.support.audited import LINES, audit, change, only
from tests.support.event_files import event, finished, manifests_at, mark_removed, read, write_manifest


@pytest.fixture(params=["none", "gzip", "zstd"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Three files with manifests, one after the other, plain or compressed."""
    paths = []
    for number, lines in enumerate(LINES):
        path = finished(tmp_path, number, lines)
        write_manifest(path)
        if request.param != "none":
            path = compression.compress(path, request.param) or path
        paths.append(path)
    return paths


def test_it_is_silent_where_all_is_there(files: list[Path]) -> None:
    report = audit(files)
    assert (report.findings, report.notes, report.status) == ([], [], 0)
    assert (report.places, report.events) == (3, 36)


def test_a_manifest_that_gets_its_name_while_it_looks_is_no_hole(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon goes on: the chain says the third file, whose manifest is listed before its last step."""
    last = names.manifest_path(files[2])
    last.rename(last.with_name(last.name + ".tmp"))
    listing = Inventory.read_manifests

    def listed_before_the_rename(inventory: Inventory, directory: Path) -> None:
        listing(inventory, directory)
        last.with_name(last.name + ".tmp").rename(last)

    monkeypatch.setattr(Inventory, "read_manifests", listed_before_the_rename)
    report = audit(files)
    assert (report.findings, report.status) == ([], 0)
    assert report.places == 2


def test_a_chain_that_begins_while_it_looks_is_not_called_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance finishes its first file between the look at the chains and that at the manifests."""
    path = finished(tmp_path, 1, LINES[0])
    listing = Inventory.read_chains

    def listed_before_the_first(inventory: Inventory, directory: Path) -> None:
        listing(inventory, directory)
        assert write_manifest(path) is not None

    monkeypatch.setattr(Inventory, "read_chains", listed_before_the_first)
    report = audit([path])
    assert (report.findings, report.status, report.places) == ([], 0, 1)


def test_a_removed_line_is_missing(files: list[Path]) -> None:
    name = change(files[1], LINES[1][:4] + LINES[1][5:])
    found = only(audit(files))
    assert (found.kind, found.where, found.source, found.events) == ("missing", name, "demo", 1)
    assert found.hour == "2023-11-14T23"
    assert audit(files).status == 1


def test_a_repeated_record_is_repeated_and_named(files: list[Path]) -> None:
    name = change(files[1], [*LINES[1], LINES[1][3]])
    found = only(audit(files))
    assert (found.kind, found.where, found.events) == ("repeated", name, 1)
    assert LINES[1][3][13:49].decode() in found.what
    assert audit(files).status == 3


def test_a_repeat_beside_an_altered_byte_does_not_hide_it(files: list[Path]) -> None:
    altered = LINES[1][2].replace(b"xxx", b"xyx", 1)
    change(files[1], [*LINES[1][:2], altered, *LINES[1][3:], LINES[1][5]])
    report = audit(files)
    assert {one.kind for one in report.findings} == {"altered", "repeated"}
    assert report.status == 1


def test_an_event_from_elsewhere_is_extra(files: list[Path]) -> None:
    change(files[0], [*LINES[0], event(999, "ocean")])
    found = only(audit(files))
    assert (found.kind, found.source, found.events) == ("extra", "ocean", 1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"xxx", b"xyx", "bytes differ"),
        (b"xxx", b"xxxx", "bytes instead of"),
        (b"-7000-", b"-7001-", "not the same ids"),
    ],
)
def test_an_altered_byte_is_seen(old: bytes, new: bytes, words: str, files: list[Path]) -> None:
    lines = list(LINES[2])
    lines[7] = lines[7].replace(old, new, 1)
    change(files[2], lines)
    found = only(audit(files))
    assert found.kind == "altered"
    assert words in found.what


def test_a_line_that_is_no_event_any_more_is_missing_and_counted(files: list[Path]) -> None:
    lines = list(LINES[2])
    lines[7] = b"#" + lines[7][1:]
    change(files[2], lines)
    assert {one.kind for one in audit(files).findings} == {"missing", "altered"}


def test_a_file_cut_short_cannot_be_read_or_misses_lines(files: list[Path]) -> None:
    data = files[1].read_bytes()
    files[1].write_bytes(data[: len(data) // 2])
    report = audit(files)
    assert report.findings
    assert report.status == 1
    assert {one.where for one in report.findings} == {names.plain_name(files[1].name)}


def test_a_missing_file_is_named_and_what_it_held(files: list[Path]) -> None:
    files[1].unlink()
    report = audit(files)
    assert report.findings[0].what == "the file is gone"
    assert sum(one.events for one in report.findings[1:]) == 12
    assert {one.where for one in report.findings} == {names.plain_name(files[1].name)}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_file_gone_with_its_manifest_breaks_the_chain(number: int, files: list[Path]) -> None:
    files[number].unlink()
    names.manifest_path(files[number]).unlink()
    found = only(audit(files))
    assert (found.kind, found.where) == ("chain", names.plain_name(files[number].name))


def test_what_retention_removed_is_no_finding(files: list[Path]) -> None:
    mark_removed(files[0], 1000.0)
    files[0].unlink()
    assert audit(files).findings == []
    manifests_at(files[0].parent).prune(1001.0 + manifests.KEEP_SECONDS)
    assert not names.manifest_path(files[0]).exists()
    assert audit(files).findings == []


def test_a_copy_of_a_file_that_was_taken_in_is_a_repeat(files: list[Path]) -> None:
    copy = finished(files[0].parent, 9, LINES[0])
    assert "1 not looked at, finished, without a manifest yet" in audit(files).notes[0]
    write_manifest(copy)
    assert only(audit(files)).kind == "repeated"


def test_a_manifest_that_was_changed_is_told_from_a_file_that_was(files: list[Path]) -> None:
    path = names.manifest_path(files[0])
    tree = orjson.loads(path.read_bytes())
    tree["rows"][0]["events"] += 1
    path.write_bytes(orjson.dumps(tree))
    found = only(audit(files))
    assert (found.kind, found.where) == ("manifest", path.name)
    path.write_bytes(b"{")
    assert {one.kind for one in audit(files).findings} == {"manifest", "chain"}


def test_a_chain_that_is_gone_is_a_finding(files: list[Path]) -> None:
    (files[0].parent / "clicks-one.chain").unlink()
    assert only(audit(files)).kind == "chain"


def test_files_being_written_are_told_of_and_not_looked_at(files: list[Path]) -> None:
    finished(files[0].parent, 9, [b"torn"]).rename(files[0].parent / "clicks-one-x.ndjson.open")
    report = audit(files)
    assert report.findings == []
    assert "still being written" in report.notes[0]


def test_only_files_with_the_hours_asked_for_are_read(files: list[Path]) -> None:
    path = finished(files[0].parent, 9, [event(1, hours=30)])
    write_manifest(path)
    assert audit(files, "2023-11-14").places == 3
    assert audit(files, "2023-11-16T00..2023-11-16T23").places == 1


@pytest.mark.parametrize("text", ["yesterday", "2023-11-14T99", "..", "2023-11-14..x"])
def test_hours_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(IngestdError, match="--hours"):
        parse_hours(text)


def test_the_command_says_it_in_words_and_in_json(files: list[Path]) -> None:
    said = CliRunner().invoke(main, ["audit", str(files[0].parent)])
    assert said.exit_code == 0
    assert said.stdout == "3 files, 36 events, all there\n"
    change(files[1], LINES[1][1:])
    asked = CliRunner().invoke(main, ["audit", str(files[0].parent), "--json"])
    tree = orjson.loads(asked.stdout)
    assert asked.exit_code == tree["status"] == 1
    assert tree["findings"][0]["kind"] == "missing"
    assert sum(row["events"] for row in tree["hours"]) == 36


def test_damage_anywhere_in_a_file_is_a_finding_on_that_file(files: list[Path]) -> None:
    """Compressed or not: no damage ends the audit, and the other files are looked at all the same."""
    whole = files[1].read_bytes()
    for place in range(0, len(whole), 11):
        files[1].write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        report = audit(files)
        assert {one.where for one in report.findings} <= {names.plain_name(files[1].name)}, place
        assert report.places == 3, place
        assert report.findings or scan(files[1]).digest == read(files[1]).xxh3, place
