"""Daemons behind nginx with their page on a port of its own, and traffic as platforms send it."""

from __future__ import annotations

import itertools
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.support.daemon import ROOT, Daemon
from tests.support.front import SAMPLES
from tests.support.nginx import Nginx
from tests.support.waiting import until
from tests.support.wire import Answer, Wire, ask, request

Sources = Sequence[Mapping[str, object]]
NO_SECTIONS: Mapping[str, Mapping[str, object]] = {}
# The samples' paths whose last part is not the name of what is known of their platform.
RENAMED = {"gdt": "tencent", "bili": "bilibili"}
KNOWN = {path.stem for path in (ROOT / "ingestd" / "config" / "profiles").glob("*.toml")}


def platforms() -> list[dict[str, object]]:
    """A source for each path of the samples, with its platform's profile."""
    paths = sorted({"/".join(urlsplit(url).path.split("/")[:3]) for url in SAMPLES.values()})
    found: list[dict[str, object]] = []
    for path in paths:
        name = path.rpartition("/")[2]
        profile = RENAMED.get(name, name)
        found.append({"name": name, "path": path, "profile": profile if profile in KNOWN else "generic"})
    return found


PLATFORMS = platforms()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stage:
    """Daemons, the page of the first at `address`, and nginx in front of all."""

    def __init__(
        self,
        place: Path,
        sources: Sources = PLATFORMS,
        *,
        instances: int = 1,
        sections: Mapping[str, Mapping[str, object]] = NO_SECTIONS,
    ) -> None:
        ports = [free_port() for _ in range(instances)]
        peers = [f"tcp:127.0.0.1:{port}" for port in ports] if instances > 1 else []
        self.port = ports[0]
        self.address = f"http://127.0.0.1:{self.port}/"
        self.daemons = []
        for number, port in enumerate(ports):
            base: dict[str, Mapping[str, object]] = {
                "ingest": {"public_base": "https://click.example.com"},
                "admin": {"listen": f"tcp:127.0.0.1:{port}", "peers": peers},
            }
            for name, keys in sections.items():
                base[name] = {**base.get(name, {}), **keys}
            self.daemons.append(Daemon(place, name=str(number), sources=sources, **base))
        self.daemon = self.daemons[0]
        self.nginx = Nginx(place, [daemon.socket for daemon in self.daemons])

    def get(self, target: str) -> int:
        """Send a click through nginx; the status of its answer."""
        return ask(self.nginx.address, request(target)).status

    def look(self, path: str) -> Answer:
        """One answer of the admin listener."""
        return ask(("127.0.0.1", self.port), request(path, host=f"127.0.0.1:{self.port}"))

    def status(self) -> dict[str, Any]:
        """/status"""
        status: dict[str, Any] = orjson.loads(self.look("/status").body)
        return status

    def api(self, question: str) -> Any:
        """One answer of the page's data."""
        return orjson.loads(self.look(f"/api/{question}").body)

    def rotate(self) -> None:
        """Have the present file finished, and wait for its manifest."""
        directory = self.daemon.directory
        before = len(list(directory.glob("*.manifest")))
        self.daemon.signal(signal.SIGUSR1)
        until(lambda: len(list(directory.glob("*.manifest"))) > before, "the manifest is written")


@contextmanager
def staged(
    place: Path,
    sources: Sources = PLATFORMS,
    *,
    instances: int = 1,
    sections: Mapping[str, Mapping[str, object]] = NO_SECTIONS,
) -> Iterator[Stage]:
    """A stage whose daemons and nginx run."""
    stage = Stage(place, sources, instances=instances, sections=sections)
    with ExitStack() as running:
        for daemon in stage.daemons:
            running.enter_context(daemon)
        running.enter_context(stage.nginx)
        yield stage


class Traffic:
    """The samples' clicks with other ids, some wrong in the usual ways, in a thread, until it is left."""

    def __init__(
        self,
        stage: Stage,
        *,
        pause: float = 0.004,
        seed: int = 1,
        odd: Sequence[str] = (),
        only_odd: bool = False,
    ) -> None:
        self._address = stage.nginx.address
        self._pause = pause
        self._seed = seed
        self._targets = list(odd) if only_odd else [*targets(stage.daemon), *odd]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        dice = random.Random(self._seed)
        weights = [1 / rank for rank in range(1, len(self._targets) + 1)]
        numbers = itertools.count(10**17)
        while not self._stop.is_set():
            try:
                with Wire(self._address) as wire:
                    while not self._stop.wait(self._pause):
                        [target] = dice.choices(self._targets, weights)
                        wire.send(request(fresh(target, next(numbers))))
                        wire.receive()
            except (OSError, EOFError):
                time.sleep(0.2)


def fresh(target: str, number: int) -> str:
    """A click with a time of now and an id of its own; macros are left in."""
    times = (
        (r"((?:click_?)?t(?:s|ime(?:stamp)?)|clicktime|click_ts)=\d{13}", int(time.time() * 1000)),
        (r"(click_time)=\d{10}", int(time.time())),
    )
    for pattern, now in times:
        target = re.sub(rf"\b{pattern}(?!\d)", rf"\g<1>={now}", target)
    ids = r"\b(callback(?:_param)?|request_id|click_id|trackid)=(?!__)([^&]{4})[^&]*"
    return re.sub(ids, rf"\1=\g<2>{number}", target)


def targets(daemon: Daemon) -> list[str]:
    """The samples' targets that one of the daemon's sources takes."""
    text = daemon.config.read_text()
    found = [urlsplit(url)._replace(scheme="", netloc="").geturl() for url in SAMPLES.values()]
    return [target for target in found if f'path = "{"/".join(target.split("/")[:3])}' in text]
