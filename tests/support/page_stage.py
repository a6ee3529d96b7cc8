"""Daemons behind nginx with their page on a port of its own, and traffic as platforms send it."""

from __future__ import annotations

import itertools
import random
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.daemon import ROOT, Daemon
from tests.support.front import SAMPLES
from tests.support.nginx import Nginx
from tests.support.wire import Wire, ask, request

Sources = Sequence[Mapping[str, object]]
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
    """A daemon with its page at `address`, and nginx in front of it."""

    def __init__(self, place: Path, sources: Sources = PLATFORMS, **sections: Mapping[str, object]) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        admin = {"listen": f"tcp:127.0.0.1:{self.port}", **sections.pop("admin", {})}
        base: dict[str, Mapping[str, object]] = {"ingest": {"public_base": "https://click.example.com"}}
        for name, keys in sections.items():
            base[name] = {**base.get(name, {}), **keys}
        base["admin"] = admin
        self.daemon = Daemon(place, name="0", sources=sources, **base)
        self.nginx = Nginx(place, [self.daemon.socket])

    def get(self, target: str) -> int:
        """Send a click through nginx; the status of its answer."""
        return ask(self.nginx.address, request(target)).status


@contextmanager
def staged(place: Path, sources: Sources = PLATFORMS, **sections: Mapping[str, object]) -> Iterator[Stage]:
    """A stage whose daemon and nginx run."""
    stage = Stage(place, sources, **sections)
    with stage.daemon, stage.nginx:
        yield stage


class Traffic:
    """The samples' clicks with other ids, some wrong in the usual ways, in a thread, until it is left."""

    def __init__(self, stage: Stage, pause: float = 0.004, odd: Sequence[str] = ()) -> None:
        self._address = stage.nginx.address
        self._pause = pause
        self._targets = [*targets(stage.daemon), *odd]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        dice = random.Random(1)
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
    """A click with a time of now and an id of its own."""
    target = re.sub(
        r"\b((?:click_?)?t(?:s|ime(?:stamp)?)|clicktime|click_ts)=\d{13}",
        rf"\1={int(time.time() * 1000)}",
        target,
    )
    target = re.sub(r"\b(click_time)=\d{10}\b", rf"\1={int(time.time())}", target)
    return re.sub(
        r"\b(callback(?:_param)?|request_id|click_id|trackid)=([^&]{4})[^&]*", rf"\1=\g<2>{number}", target
    )


def targets(daemon: Daemon) -> list[str]:
    """The samples' targets that one of the daemon's sources takes."""
    text = daemon.config.read_text()
    found = [urlsplit(url)._replace(scheme="", netloc="").geturl() for url in SAMPLES.values()]
    return [target for target in found if f'path = "{"/".join(target.split("/")[:3])}' in text]
