"""The fixed fields of an event's line: for Python and for C."""

from __future__ import annotations

import re
from pathlib import Path

import ingestd
from ingestd.event import DUP_KEY_SLICE, ID_SLICE, LINE_START, RECEIVED_AT_SLICE, SCHEMA_VERSION

PACKAGE = Path(ingestd.__file__).parent
HEADER = (PACKAGE / "_event.h").read_text("utf-8")


def test_the_header_for_c_has_the_same_offsets() -> None:
    known = {name: int(number) for name, number in re.findall(r"^    (\w+) = (\d+),", HEADER, re.MULTILINE)}
    assert known == {
        "ID_AT": ID_SLICE.start,
        "ID_SIZE": ID_SLICE.stop - ID_SLICE.start,
        "DUP_KEY_AT": DUP_KEY_SLICE.start,
        "DUP_KEY_SIZE": DUP_KEY_SLICE.stop - DUP_KEY_SLICE.start,
        "RECEIVED_AT": RECEIVED_AT_SLICE.start,
        "RECEIVED_AT_SIZE": RECEIVED_AT_SLICE.stop - RECEIVED_AT_SLICE.start,
    }
    [start] = re.findall(r'^#define LINE_START "(.*)"$', HEADER, re.MULTILINE)
    assert start.replace("\\", "").encode() == LINE_START


def test_a_line_has_its_fields_there() -> None:
    line = b'{"v":%d,"id":"%b","dup_key":"%b","received_at":%b,"n":1}\n'
    line %= SCHEMA_VERSION, b"i" * 36, b"k" * 32, b"1700000000000"
    assert line.startswith(LINE_START)
    found = line[ID_SLICE], line[DUP_KEY_SLICE], line[RECEIVED_AT_SLICE]
    assert found == (b"i" * 36, b"k" * 32, b"1700000000000")


def test_no_other_c_file_writes_them_down() -> None:
    for path in PACKAGE.rglob("*.[ch]"):
        if path.name != "_event.h":
            text = path.read_text("utf-8")
            assert not re.search(r'\{\\"v\\":1|\b(ID|DUP_KEY|RECEIVED_AT)(_AT|_SIZE)? (= )?\d', text), path
