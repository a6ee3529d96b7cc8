"""The guest's journal, followed as it is written: what a test waits on in place of sleeping."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

NOTIFICATION = re.compile(r"Got notification message from PID (\d+) \((.*)\)$", re.DOTALL)


class Entry(NamedTuple):
    """One journal entry: the unit it is about, the process that wrote it, its text."""

    unit: str
    pid: int
    message: str


class Journal:
    """Reads `journalctl --follow` in a thread until `close`.

    PID 1 runs at log level debug, for its account of every sd_notify message; of what it writes, only what is
    about a unit is kept (its chatter about D-Bus would wake every waiter for nothing).
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self._entries: list[Entry] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the reader; the entries stay readable."""
        self._process.kill()
        self._process.wait()
        self._thread.join()

    def position(self) -> int:
        """How many entries were read: with `since`, only later ones count."""
        with self._changed:
            return len(self._entries)

    def entries(self, unit: str | None = None, since: int = 0) -> list[Entry]:
        """What was written after `since`, about one unit or all."""
        with self._changed:
            return [e for e in self._entries[since:] if unit is None or e.unit == unit]

    def wait(self, unit: str, text: str, since: int = 0, timeout: float = 20) -> Entry:
        """The first entry about `unit` whose message matches the regular expression `text`.

        Raises AssertionError with what was written instead, after `timeout` seconds.
        """
        pattern = re.compile(text)

        def find() -> Entry | None:
            return next((e for e in self.entries(unit, since) if pattern.search(e.message)), None)

        return self.wait_until(f"{text!r} about {unit}", find, timeout=timeout)

    def wait_until(self, what: str, look: Callable[[], T | None], timeout: float = 20) -> T:
        """The first true answer of `look`, which is asked again whenever the journal grows."""
        deadline = time.monotonic() + timeout
        while True:
            position = self.position()
            if answer := look():
                return answer
            with self._changed:
                grown = self._changed.wait_for(
                    lambda mark=position: len(self._entries) > mark, deadline - time.monotonic()
                )
            if not grown:
                raise AssertionError(f"waited {timeout} s for {what}; the journal's end:\n{self.tail()}")

    def notifications(self, unit: str, since: int = 0) -> list[tuple[int, str]]:
        """Every sd_notify message of a unit's processes: the sender's pid (the guest's numbering), its text."""
        found = (NOTIFICATION.search(e.message) for e in self.entries(unit, since))
        return [(int(m[1]), m[2]) for m in found if m]

    def tail(self, count: int = 60) -> str:
        """The last entries, without watchdog pings."""
        lines = [f"{e.unit}[{e.pid}]: {e.message}" for e in self.entries() if "(WATCHDOG=1)" not in e.message]
        return "\n".join(lines[-count:])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            entry = parse(json.loads(line))
            if entry:
                with self._changed:
                    self._entries.append(entry)
                    self._changed.notify_all()


def parse(fields: dict[str, Any]) -> Entry | None:
    """One line of `journalctl --output=json`, None for what no test waits on."""
    message = fields.get("MESSAGE")
    if isinstance(message, list):  # journalctl's form of bytes that are no UTF-8
        message = bytes(message).decode(errors="backslashreplace")
    pid = int(fields.get("_PID", 0))
    unit = fields.get("UNIT") or ("" if pid == 1 else fields.get("_SYSTEMD_UNIT"))
    return Entry(str(unit), pid, str(message)) if unit else None
