"""A load balancer that learns late who is ready, and clients that call through it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from tests.support.daemon import Daemon
from tests.support.wire import Address, Wire, ask, request

# How often each backend is asked whether it is ready, seconds: so late a change is learnt.
CHECK_PERIOD = 0.2
CLIENTS = 4


class LateBalancer:
    """Clients that send clicks, each to a backend that was ready at the last look. `failed`: refusals."""

    def __init__(self, backends: dict[str, tuple[Daemon, Address]]) -> None:
        self._backends = backends
        self._ready: tuple[str, ...] = ()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._check, daemon=True)]
        self._threads += [threading.Thread(target=self._call, args=(n,), daemon=True) for n in range(CLIENTS)]
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _check(self) -> None:
        while not self._ending.is_set():
            self._ready = tuple(name for name, (daemon, _) in self._backends.items() if is_ready(daemon))
            self._ending.wait(CHECK_PERIOD)

    def _call(self, number: int) -> None:
        wires: dict[str, Wire] = {}
        turn = number
        while not self._ending.is_set():
            ready = self._ready
            if not ready:
                time.sleep(0.01)
                continue
            turn += 1
            name = ready[turn % len(ready)]
            for gone in wires.keys() - set(ready):
                wires.pop(gone).close()
            try:
                wire = wires.pop(name, None) or Wire(self._backends[name][1])
                wire.send(request(f"/c/demo?n={turn}"))
                answer = wire.receive()
            except (OSError, EOFError) as error:
                self.failed.append(f"{name}: {error!r}")
                continue
            if answer.status != 200:
                self.failed.append(f"{name}: {answer.status}")
            self.answered[name] += 1
            if answer.headers.get("connection") == "close":
                wire.close()
            else:
                wires[name] = wire
            time.sleep(0.002)

    def wait_for(self, name: str, count: int, timeout: float = 60.0) -> None:
        """Wait until a backend has answered `count` more. Raises TimeoutError."""
        goal, deadline = self.answered[name] + count, time.monotonic() + timeout
        while self.answered[name] < goal:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} answers nothing; failed: {self.failed[:5]}")
            time.sleep(0.01)


def is_ready(daemon: Daemon) -> bool:
    """What /readyz says; nobody there is not ready."""
    try:
        return ask(daemon.admin, request("/readyz")).status == 200
    except (OSError, EOFError):
        return False
