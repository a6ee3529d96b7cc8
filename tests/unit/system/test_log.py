"""Log lines: one line an occurrence, whatever the values hold, and not too many of the same."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest

from ingestd.system.log import (
    MAX_UNREAD,
    REPEATS_PER_MINUTE,
    Formatter,
    LogRateLimit,
    NonBlockingHandler,
    setup,
)

FORMS: tuple[Literal["logfmt", "json"], ...] = ("logfmt", "json")
NASTY = {
    "a newline": "x\ny",
    "a forged line": 'x\n2026-01-01T00:00:00.000Z level=error msg="all is lost"',
    "a carriage return": "x\rlevel=error",
    "a terminal's escape": "x\x1b[31mred\x1b[0m",
    "an eight-bit escape": "x\x9b31mred",
    "a delete": "x\x7f\x08y",
    "a line separator": "x\u2028y\u2029z\x85w",
    "a zero byte": "x\0y",
    "quotes and an equals sign": 'x" level="error" a=b',
    "a backslash": "x\\",
    "bytes that are no UTF-8": "x\udcff",
    "text against the direction": "x\u202egnp.exe",
    "nothing": "",
    "a space": " ",
}


def record(
    message: str = "said", level: int = logging.INFO, created: float = 0.0, **extra: Any
) -> logging.LogRecord:
    made = logging.LogRecord("ingestd.part", level, "/x/part.py", 7, message, (), None)
    made.created, made.msecs = created, 123.0
    for key, value in extra.items():
        setattr(made, key, value)
    return made


def line(form: Literal["logfmt", "json"], *, journal: bool = False, **options: Any) -> str:
    return Formatter(form, journal=journal).format(record(**options))


# form


def test_a_line_has_time_level_message_and_what_belongs_to_it() -> None:
    assert line("logfmt", created=1_718_000_000.0, file="a.ndjson", events=7) == (
        "time=2024-06-10T06:13:20.123Z level=info msg=said file=a.ndjson events=7"
    )


def test_the_same_as_json() -> None:
    assert orjson.loads(line("json", created=1_718_000_000.0, file="a.ndjson", events=7)) == {
        "time": "2024-06-10T06:13:20.123Z", "level": "info", "msg": "said", "file": "a.ndjson", "events": 7,
    }  # fmt: skip


def test_text_that_is_not_one_word_is_quoted() -> None:
    assert line("logfmt", message="two words", error='a "b" c').endswith(
        r'level=info msg="two words" error="a \"b\" c"'
    )


def test_text_in_any_language_stays_readable() -> None:
    for form in FORMS:
        assert "点击 量" in line(form, error="点击 量")


def test_an_exception_stays_in_its_line() -> None:
    try:
        raise ZeroDivisionError("a\nbug")
    except ZeroDivisionError:
        failed = record(level=logging.ERROR)
        failed.exc_info = sys.exc_info()
    for form in FORMS:
        text = Formatter(form, journal=False).format(failed)
        assert text.splitlines() == [text]
        assert "ZeroDivisionError" in text


# injection


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NASTY)
def test_no_value_gets_out_of_its_line(name: str, form: Literal["logfmt", "json"]) -> None:
    value = NASTY[name]
    text = line(form, error=value, message=value or "said")
    assert text.splitlines() == [text]
    assert text.isprintable()


@pytest.mark.parametrize("name", NASTY)
def test_no_value_passes_for_another_field(name: str) -> None:
    plain = line("logfmt", error="x").count("level=")
    quoted_away = line("logfmt", error=NASTY[name])
    outside_quotes = "".join(quoted_away.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    assert outside_quotes.count("level=") == plain


@pytest.mark.parametrize("name", NASTY)
def test_a_value_is_read_back_from_json_as_it_was(name: str) -> None:
    import json

    assert json.loads(line("json", error=NASTY[name]))["error"] == NASTY[name]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "value", [1 << 70, Path("/a/\udcff"), {1: 2}, b"bytes", ValueError("x\ny"), None, 1.5]
)
def test_any_kind_of_value_can_be_logged(value: object, form: Literal["logfmt", "json"]) -> None:
    text = line(form, error=value)
    assert text.splitlines() == [text]


# the journal


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3),
        (logging.CRITICAL, 2), (25, 5),
    ],
)  # fmt: skip
def test_under_the_journal_a_line_begins_with_its_priority(level: int, priority: int) -> None:
    for form in FORMS:
        assert line(form, journal=True, level=level).startswith(f"<{priority}>")


def test_the_journal_knows_the_time_itself() -> None:
    assert line("logfmt", journal=True) == "<6>level=info msg=said"


@pytest.mark.parametrize("same", [True, False], ids=["to the journal", "redirected"])
def test_the_journal_is_told_by_where_stderr_goes(
    same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program started from a service has the variable too, and writes its stderr to a file perhaps.
    with (tmp_path / "stderr").open("w+") as stream:
        state = os.fstat(stream.fileno())
        inode = state.st_ino if same else state.st_ino + 1
        monkeypatch.setenv("JOURNAL_STREAM", f"{state.st_dev}:{inode}")
        monkeypatch.setattr(sys, "stderr", stream)
        with quiet_root():
            setup("info", "logfmt")
            logging.getLogger("ingestd.test").warning("said")
        stream.seek(0)
        assert stream.read().startswith("<4>level=warning" if same else "time=")


class quiet_root:  # noqa: N801 (used like a function)
    """The root logger as it was before."""

    def __enter__(self) -> None:
        root = logging.getLogger()
        self._handlers, self._level = root.handlers[:], root.level

    def __exit__(self, *exc: object) -> None:
        root = logging.getLogger()
        root.handlers[:] = self._handlers
        root.setLevel(self._level)


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet_root():
        setup("warning", "logfmt")
        logging.getLogger("ingestd.test").info("too quiet")
        logging.getLogger("ingestd.test").warning("loud enough")
    written = capsys.readouterr().err
    assert "loud" in written
    assert "quiet" not in written


# not too many


def test_what_is_said_too_often_is_left_out_and_counted() -> None:
    limit = LogRateLimit()
    passed = sum(limit.filter(record()) for _ in range(1000))
    assert (passed, limit.suppressed) == (REPEATS_PER_MINUTE, 1000 - REPEATS_PER_MINUTE)


def test_each_place_has_its_own_limit() -> None:
    limit = LogRateLimit()
    for _ in range(1000):
        limit.filter(record())
    other = record()
    other.lineno = 8
    assert limit.filter(other)
    assert limit.filter(record(level=logging.ERROR))


def test_the_next_minute_begins_anew() -> None:
    limit = LogRateLimit()
    for _ in range(100):
        limit.filter(record(created=59.9))
    assert limit.filter(record(created=60.0))


def test_what_a_message_holds_does_not_make_it_another() -> None:
    # Else a message with a number in it would never be the same twice.
    limit = LogRateLimit()
    passed = sum(limit.filter(record(message=f"event {number}")) for number in range(100))
    assert passed == REPEATS_PER_MINUTE


def test_the_limit_keeps_little_memory() -> None:
    limit = LogRateLimit()
    for number in range(10_000):
        made = record(created=number * 60.0)
        made.lineno = number
        limit.filter(made)
    assert len(limit._seen) == 1


def test_the_limit_is_that_of_all_that_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet_root():
        limit = setup("info", "json")
        for _ in range(100):
            logging.getLogger("ingestd.test").warning("again")
    assert len(capsys.readouterr().err.splitlines()) + limit.suppressed == 100
    assert limit.suppressed >= 100 - 2 * REPEATS_PER_MINUTE  # a minute may have ended meanwhile


# a reader that does not read


def piped() -> tuple[int, int, NonBlockingHandler, LogRateLimit]:
    reader, writer = os.pipe()
    limit = LogRateLimit()
    handler = NonBlockingHandler(writer, limit)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return reader, writer, handler, limit


def read_all(reader: int, handler: NonBlockingHandler) -> bytes:
    os.set_blocking(reader, False)
    found = b""
    while True:
        handler.flush()
        try:
            piece = os.read(reader, 1 << 16)
        except BlockingIOError:
            return found
        if not piece:
            return found
        found += piece


@pytest.mark.parametrize("length", [10, 4095, 4096, 10_000])
def test_nobody_waits_for_a_pipe_that_nobody_reads(length: int) -> None:
    """In blocking mode the handler would never return, and with it the loop."""
    reader, writer, handler, limit = piped()
    count = 4 * MAX_UNREAD // length
    for number in range(count):
        handler.handle(record(f"{number:07}".ljust(length, "x")))
    assert limit.dropped > 0
    assert os.get_blocking(writer), "other processes share the descriptor"
    lines = read_all(reader, handler).splitlines()
    assert len(lines) + limit.dropped == count
    assert [int(one[:7]) for one in lines] == list(range(len(lines)))
    assert {len(one) for one in lines} == {length}
    handler.handle(record("after"))
    assert read_all(reader, handler) == b"after\n"
    os.close(reader)
    os.close(writer)


def test_a_pipe_whose_reader_is_gone_drops_and_counts() -> None:
    reader, writer, handler, limit = piped()
    os.close(reader)
    for _ in range(3):
        handler.handle(record("lost"))
    assert limit.dropped == 3
    os.close(writer)


def test_at_exit_a_reader_has_time_to_take_the_last_lines() -> None:
    reader, writer, handler, limit = piped()
    for _ in range(100):
        handler.handle(record("x" * 2000))
    found: list[bytes] = []

    def read() -> None:
        while piece := os.read(reader, 1 << 16):
            found.append(piece)

    thread = threading.Thread(target=read)
    thread.start()
    handler.close()
    os.close(writer)
    thread.join()
    assert (len(b"".join(found)), limit.dropped) == (100 * 2001, 0)
    os.close(reader)
