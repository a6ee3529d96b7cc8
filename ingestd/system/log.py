"""Structured log lines on stderr: one line an occurrence, never one per event.

Under journald each line carries its priority (`<3>`, sd-daemon(3)). What is said too often is left out
and counted, so that trouble which repeats itself cannot fill the disk it may be about.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any, Literal, TextIO

import orjson

# Every attribute a record has of itself; what a caller adds by `extra` is everything else.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
# The same message of the same place: this many lines a minute.
REPEATS_PER_MINUTE = 20


class Formatter(logging.Formatter):
    """`time level logger message key=value ...`, or the same as one JSON object."""

    def __init__(self, form: Literal["logfmt", "json"], *, journal: bool) -> None:
        super().__init__()
        self._json = form == "json"
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the values hold."""
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
    except TypeError:  # a name of a file that is no UTF-8, a number beyond 64 bits
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
    """Whether the stream goes to the journal (systemd.exec(5)); a child may have it redirected."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(stream.fileno())
    except OSError:
        return False
    return (device, inode) == (str(state.st_dev), str(state.st_ino))


def setup(level: str, form: Literal["logfmt", "json"]) -> LogRateLimit:
    """Have everything logged to stderr in our form. Returns the limit, for its count."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(form, journal=_is_journal(sys.stderr)))
    limit = LogRateLimit()
    handler.addFilter(limit)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    if level != "debug":  # it tells of each metadata refresh
        logging.getLogger("aiokafka").setLevel(logging.WARNING)
    return limit
