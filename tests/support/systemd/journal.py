"""The guest's journal: what a test reads, and waits on in place of sleeping."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tests.support.waiting import FAR

T = TypeVar("T")
NOTIFICATION = re.compile(r"Got notification message from PID (\d+) \((.*)\)$", re.DOTALL)


class Entry(NamedTuple):
    """One journal entry: the unit it is about, the process that wrote it (guest's numbering), its text."""

    unit: str
    pid: int
    message: str


class Journal:
    """Reads the journal when asked; a `journalctl --follow` only tells when to ask again.

    (journald wakes followers up to half a second late; after `journalctl --sync` all is there to be read.)
    PID 1 runs at log level debug, for its account of every sd_notify message; of what it writes, only what is
    about a unit is kept.
    """

    def __init__(self, enter: Sequence[str]) -> None:
        self._enter = enter
        self._cursor: list[str] = []
        self._entries: list[Entry] = []
        self._grown = threading.Event()
        follow = [*enter, "journalctl", "--follow", "--lines=0", "--output=cat"]
        self._follower = subprocess.Popen(follow, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self._thread = threading.Thread(target=self._follow, name="journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the follower; what was read stays."""
        self._follower.kill()
        self._follower.wait()
        self._thread.join()

    def position(self) -> int:
        """A mark for `since`: what has been written up to now does not count."""
        self._read()
        return len(self._entries)

    def entries(self, unit: str, since: int = 0) -> list[Entry]:
        """What was written about a unit after `since`."""
        self._read()
        return [e for e in self._entries[since:] if e.unit == unit]

    def notifications(self, unit: str, since: int = 0) -> list[tuple[int, str]]:
        """Every sd_notify message of a unit: the sender's pid, its variables joined by ", "; no pings."""
        found = (NOTIFICATION.search(e.message) for e in self.entries(unit, since))
        return [(int(m[1]), m[2]) for m in found if m and m[2] != "WATCHDOG=1"]

    def wait(self, unit: str, text: str, since: int = 0, timeout: float = FAR) -> Entry:
        """The first entry about `unit` whose message matches the regular expression `text`.

        Raises AssertionError with what was written instead, after `timeout` seconds.
        """
        pattern = re.compile(text)

        def find() -> Entry | None:
            return next((e for e in self.entries(unit, since) if pattern.search(e.message)), None)

        return self.wait_until(f"{text!r} about {unit}", find, timeout)

    def wait_until(self, what: str, look: Callable[[], T | None], timeout: float = FAR) -> T:
        """The first true answer of `look`, which is asked again whenever the journal has grown."""
        deadline = time.monotonic() + timeout
        while True:
            self._grown.clear()
            if answer := look():
                return answer
            if not self._grown.wait(deadline - time.monotonic()):
                raise AssertionError(f"waited {timeout} s for {what}; the journal's end:\n{self.tail()}")

    def tail(self, count: int = 60) -> str:
        """The last entries, without those that never tell anything."""
        self._read()
        noise = re.compile(r"\(WATCHDOG=1\)|Cannot add dependency job|fd store|on stored fd")
        lines = [f"{e.unit}[{e.pid}]: {e.message}" for e in self._entries if not noise.search(e.message)]
        return "\n".join(lines[-count:])

    def _read(self) -> None:
        fields = "MESSAGE,UNIT,_SYSTEMD_UNIT,_PID,SYSLOG_IDENTIFIER"
        read = (
            f"journalctl --sync && exec journalctl --output=json --output-fields={fields} --all --show-cursor"
        )
        command = [*self._enter, "sh", "-c", f'{read} "$@"', "sh", *self._cursor]
        result = subprocess.run(command, capture_output=True, text=True, timeout=FAR, check=False)
        assert result.returncode == 0, f"the journal cannot be read: {result.stderr}"
        for line in result.stdout.splitlines():
            if line.startswith("-- cursor: "):
                self._cursor = [f"--after-cursor={line.removeprefix('-- cursor: ')}"]
            elif line.startswith("{") and (entry := parse(json.loads(line))):
                self._entries.append(entry)

    def _follow(self) -> None:
        assert self._follower.stdout is not None
        for _line in self._follower.stdout:
            self._grown.set()


def parse(fields: dict[str, Any]) -> Entry | None:
    """One line of `journalctl --output=json`; None for what no test waits on."""
    message = fields.get("MESSAGE")
    if isinstance(message, list):  # journalctl's form of bytes that are no UTF-8
        message = bytes(message).decode(errors="backslashreplace")
    pid = int(fields.get("_PID", 0))
    unit = fields.get("UNIT") or ("" if pid == 1 else fields.get("_SYSTEMD_UNIT"))
    # "(ingestd)": systemd's own process on its way to becoming ingestd, on fifty mounts.
    on_the_way = str(fields.get("SYSLOG_IDENTIFIER")).startswith("(")
    return Entry(str(unit), pid, str(message)) if unit and not on_the_way else None
