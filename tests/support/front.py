"""A daemon behind the shipped nginx, for tests that ask what one request becomes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from tests.support.daemon import ROOT, Daemon
from tests.support.nginx import Nginx
from tests.support.wire import Address, Answer, ask

DATA = json.loads((ROOT / "ingestd" / "data" / "callbacks.json").read_text())
SAMPLES: dict[str, str] = DATA["callbacks"]
HOSTILE: list[str] = next(value for key, value in DATA.items() if key.startswith("hostile"))
# Every platform of the samples as a source of its own, and one for everything else.
PATHS = sorted({"/".join(urlsplit(url).path.split("/")[:3]) for url in SAMPLES.values()})
SOURCES = [{"name": path.rpartition("/")[2], "path": path} for path in [*PATHS, "/c/demo"]]


class Front:
    """Sends requests one at a time and tells which events each became."""

    def __init__(self, daemon: Daemon, nginx: Nginx) -> None:
        self.daemon = daemon
        self.nginx = nginx
        self._known = len(daemon.events())

    def send(self, data: bytes, address: Address | None = None) -> tuple[Answer, list[dict[str, Any]]]:
        """The reply (through nginx, or from `address`), and the events that were not there before."""
        answer = ask(address or self.nginx.address, data)
        return answer, self.fresh()

    def fresh(self) -> list[dict[str, Any]]:
        """The events that were not there at the last look."""
        events = self.daemon.events()
        fresh, self._known = events[self._known :], len(events)
        return fresh

    def one(self, data: bytes, address: Address | None = None) -> dict[str, Any]:
        """The one event of a request that is answered with success."""
        answer, events = self.send(data, address)
        assert (answer.status, answer.body) == (200, b"ok")
        assert len(events) == 1, events
        return events[0]
