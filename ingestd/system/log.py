"""Structured log lines on stderr: one line an occurrence, never one per event.

Under journald each line has its priority (`<3>`, sd-daemon(3)). Lines that repeat too often are dropped and
counted, so that an error cannot fill the disk that may have caused it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any, Literal, TextIO

import orjson

# The attributes of every record; the others are those that a caller adds with `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
# Lines a minute from the same place in the code, at the same level.
REPEATS_PER_MINUTE = 20


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


def _is_journal(stream: TextIO) -> bool:
    """Whether a stream is connected to the journal, by JOURNAL_STREAM (systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(stream.fileno())
    except OSError:
        return False
    return (device, inode) == (str(state.st_dev), str(state.st_ino))


def setup(level: str, form: Literal["logfmt", "json"]) -> LogRateLimit:
    """Send all log lines to stderr in this format. Returns the filter, which counts what it drops."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(form, journal=_is_journal(sys.stderr)))
    limit = LogRateLimit()
    handler.addFilter(limit)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    if level != "debug":  # its info level reports each metadata refresh
        logging.getLogger("aiokafka").setLevel(logging.WARNING)
    return limit
