"""The booted guest with ingestd installed as on a Debian host, and what a test does to it."""

from __future__ import annotations

import json
import socket
from collections import Counter
from pathlib import Path

from tests.support.systemd import guest as booting
from tests.support.systemd import venv
from tests.support.systemd.clicks import Clicks, get

UNITS = Path(__file__).parents[3] / "systemd"


CONFIG = """
[[source]]
name = "demo"
path = "/c/demo"
"""


STATE = "/var/lib/ingestd"


SERVICES = ("ingestd.service", "ingestd@1.service", "ingestd@2.service")


SOCKETS = tuple(name.replace(".service", ".socket") for name in SERVICES)


class Host:
    """The guest, and what a test does to ingestd in it."""

    def __init__(self, guest: booting.Guest) -> None:
        self.guest = guest
        self.journal = guest.journal

    def install(self) -> None:
        """The files to their places, the user, the directories: what systemd/README.md tells to do."""
        self.guest.run(f"{venv.INSTALLED_AT}/bin/ingestd", "install-units")
        self.guest.run("systemd-sysusers", "ingestd.conf")
        self.guest.run("systemd-tmpfiles", "--create", "ingestd.conf")
        self.configure(CONFIG)
        self.guest.systemctl("daemon-reload")

    def reset(self) -> None:
        """As freshly installed: nothing runs, nothing is stored, no drop-ins."""
        self.end()
        self.guest.systemctl("reset-failed")
        self.guest.systemctl("log-level", "debug")
        self.guest.run("rm", "-rf", STATE, "/var/lib/private/ingestd")
        self.guest.run(
            "sh", "-c", "rm -rf /etc/systemd/system/ingestd*.d /etc/ingestd/*.env /etc/ingestd/secrets/*"
        )
        self.configure(CONFIG)
        self.guest.systemctl("daemon-reload")

    def end(self) -> None:
        """Have nothing run, without waiting for a drain."""
        self.guest.systemctl("kill", "--signal=KILL", *SERVICES, check=False)
        self.guest.systemctl("stop", *SERVICES, *SOCKETS)

    def configure(self, text: str) -> None:
        """Put a configuration in place, by rename."""
        self.guest.write("/etc/ingestd/ingestd.toml.new", text)
        self.guest.path("/etc/ingestd/ingestd.toml.new").rename(self.guest.path("/etc/ingestd/ingestd.toml"))

    def drop_in(self, unit: str, text: str) -> None:
        """What `systemctl edit` does."""
        self.guest.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
        self.guest.systemctl("daemon-reload")

    def connect(self, instance: str = "") -> socket.socket:
        """A connection to an instance's socket, as root."""
        return self.guest.connect(f"/run/ingestd/ingestd{instance}.sock")

    def click(self, query: str, path: str = "/c/demo", instance: str = "") -> tuple[int, str]:
        """One click on a connection of its own."""
        return get(lambda: self.connect(instance), f"{path}?{query}")

    def admin(self, target: str, port: int = 9401) -> tuple[int, str]:
        """A request to the admin listener."""
        return get(lambda: self.guest.connect_tcp(port), target)

    def files(self, directory: str = f"{STATE}/clicks") -> list[Path]:
        """The files with events, finished or open."""
        there = self.guest.path(directory)
        return [*there.glob("*.ndjson"), *there.glob("*.ndjson.open")]

    def events(self, directory: str = f"{STATE}/clicks") -> list[dict[str, object]]:
        """Every whole event on disk, finished files or open."""
        events = []
        for file in sorted(self.files(directory)):
            lines = file.read_bytes().split(b"\n")
            events += [json.loads(line) for line in lines[:-1]]
        return events

    def stored_ids(self) -> list[str]:
        """The `click_id` of every event on disk."""
        return [str(event["params"]["click_id"]) for event in self.events()]  # type: ignore[index]

    def expect_nothing_lost(self, clicks: Clicks) -> None:
        """Stop, and hold the answers against the files. The run must have been worth it: over 100 answers."""
        self.guest.systemctl("stop", *SERVICES, *SOCKETS)
        stored = Counter(self.stored_ids())
        assert len(clicks.acked) > 100
        assert clicks.acked - stored.keys() == set(), "answered, and not stored"
        sent_again = sum(stored.values()) - len(stored)
        assert sent_again <= clicks.unanswered, "stored twice, though sent once"
