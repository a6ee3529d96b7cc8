"""Structured log lines on stderr: one line an occurrence, never one per event.

Under journald each line has its priority (`<3>`, sd-daemon(3)). Lines that repeat too often are left out and
counted, so that an error cannot fill the disk that may have caused it. Nobody waits for whoever reads stderr:
beyond MAX_UNREAD bytes, lines are dropped and counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import sys
import time
from collections import deque
from typing import Any, Final, Literal, TextIO

import orjson

# The attributes of every record; the others are those that a caller adds with `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
# Lines a minute from the same place in the code, at the same level.
REPEATS_PER_MINUTE = 20
# Bytes of lines that wait for a reader of stderr, and seconds they are waited for at exit.
MAX_UNREAD = 256 * 1024
EXIT_WAIT: Final = 1.0
# Bytes that a pipe takes without waiting once poll(2) calls it writable: a page, PIPE_BUF. Sockets take more.
_PIECE = 4096


class Formatter(logging.Formatter):
    """`time=... level=... msg=... key=value ...`, or the same as one JSON object."""

    def __init__(self, form: Literal["logfmt", "json"], *, journal: bool) -> None:
        super().__init__()
        self._json = form == "json"
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever characters the values contain."""
        fields: dict[str, Any] = {"level": record.levelname.lower(), "msg": record.getMessage()}
        fields.update({key: value for key, value in vars(record).items() if key not in _OWN})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if not self._journal:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            fields = {"time": f"{moment}.{int(record.msecs):03d}Z", **fields}
        line = _json(fields) if self._json else " ".join(map(_pair, fields.items()))
        return f"<{_PRIORITY.get(record.levelno, 5)}>{line}" if self._journal else line


def _json(fields: dict[str, Any]) -> str:
    try:
        line = orjson.dumps(fields, default=str).decode()
    except TypeError:  # a file name that is not UTF-8, a number beyond 64 bits
        line = json.dumps(fields, default=str)
    return line if line.isprintable() else _escaped(line)


def _pair(item: tuple[str, Any]) -> str:
    key, value = item
    text = str(value)
    if text and text.isprintable() and not set(text) & set(' "='):
        return f"{key}={text}"
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{quoted if quoted.isprintable() else _escaped(quoted)}"'


def _escaped(text: str) -> str:
    """With whatever would move a cursor, colour a terminal or begin a line as JSON escapes it."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


class LogRateLimit(logging.Filter):
    """Lets the same message of the same place through so many times a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._window = 0
        self._seen: dict[tuple[str, int, str], int] = {}
        self.suppressed = 0
        self.dropped = 0  # counted by NonBlockingHandler

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line may be written."""
        window = int(record.created // 60)
        if window != self._window:
            self._window = window
            self._seen.clear()
        place = (record.pathname, record.lineno, record.levelname)
        count = self._seen[place] = self._seen.get(place, 0) + 1
        if count > REPEATS_PER_MINUTE:
            self.suppressed += 1
            return False
        return True


class NonBlockingHandler(logging.Handler):
    """Writes lines to a descriptor only while it takes them; the rest waits, up to MAX_UNREAD bytes.

    The descriptor itself stays in blocking mode: other processes share it. `limit`: counts the lines dropped.
    """

    def __init__(self, descriptor: int, limit: LogRateLimit) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._limit = limit

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or have it wait, or drop it."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 (a line that cannot be formatted must not cost the caller)
            text = f"{record.pathname}:{record.lineno}: cannot format a log line: {type(error).__name__}"
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        if self._size + len(line) > MAX_UNREAD:
            self.flush()
        if self._size + len(line) > MAX_UNREAD:
            self._limit.dropped += 1
            return
        self._waiting.append(line)
        self._size += len(line)
        self.flush()

    def flush(self) -> None:
        """Write the lines that wait, as far as that takes no time."""
        self._write(0.0)

    def close(self) -> None:
        """Write the lines that wait, for at most EXIT_WAIT seconds."""
        self._write(EXIT_WAIT)
        super().close()

    def _write(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self.lock or contextlib.nullcontext():
            while self._waiting and self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                line = self._waiting.popleft()
                try:
                    written = os.write(self._descriptor, line[:_PIECE])
                except BlockingIOError:  # somebody else has made it non-blocking
                    self._waiting.appendleft(line)
                    return
                except OSError:  # nobody reads it any more
                    self._limit.dropped += 1
                    self._size -= len(line)
                    continue
                self._size -= written
                if written < len(line):
                    self._waiting.appendleft(line[written:])


def _is_journal(stream: TextIO) -> bool:
    """Whether a stream is connected to the journal, by JOURNAL_STREAM (systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(stream.fileno())
    except OSError:
        return False
    return (device, inode) == (str(state.st_dev), str(state.st_ino))


def _handler(limit: LogRateLimit) -> logging.Handler:
    try:
        return NonBlockingHandler(sys.stderr.fileno(), limit)
    except OSError:  # not a descriptor's stream: memory, which always takes a line
        return logging.StreamHandler(sys.stderr)


def setup(level: str, form: Literal["logfmt", "json"]) -> LogRateLimit:
    """Send all log lines to stderr in this format. Returns the filter, which counts what it drops."""
    limit = LogRateLimit()
    handler = _handler(limit)
    handler.setFormatter(Formatter(form, journal=_is_journal(sys.stderr)))
    handler.addFilter(limit)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    if level != "debug":  # its info level reports each metadata refresh
        logging.getLogger("aiokafka").setLevel(logging.WARNING)
    return limit
