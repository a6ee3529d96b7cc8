"""Clicks sent to the daemon's socket as nginx would: connections kept, and again when unanswered."""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.waiting import FAR

CONNECTIONS = 4


class _Connection(http.client.HTTPConnection):
    def __init__(self, open_socket: Callable[[], socket.socket]) -> None:
        super().__init__("click.example.com")
        self._open_socket = open_socket

    def connect(self) -> None:
        self.sock = self._open_socket()


def get(open_socket: Callable[[], socket.socket], target: str) -> tuple[int, str]:
    """One GET on a connection of its own: status and body."""
    connection = _Connection(open_socket)
    connection.request("GET", target, headers={"Connection": "close"})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Clicks:
    """Sends clicks with ids of their own, over CONNECTIONS connections, from entering to leaving it.

    `acked` are the ids answered with 200, `refused` counts any other status, `unanswered` the requests whose
    connection ended first; those are sent again, as nginx does with a GET, under the same id.
    """

    def __init__(self, open_socket: Callable[[], socket.socket], path: str = "/c/demo") -> None:
        self.acked: set[str] = set()
        self.refused: Counter[int] = Counter()
        self.unanswered = 0
        self._open_socket = open_socket
        self._path = path
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._threads = [threading.Thread(target=self._work) for _ in range(CONNECTIONS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def wait_for_more(self, count: int = 100, timeout: float = FAR) -> None:
        """Return when `count` more clicks were answered with 200."""
        with self._changed:
            goal = len(self.acked) + count
            reached = self._changed.wait_for(lambda: len(self.acked) >= goal or self._failure, timeout)
        if self._failure is not None:
            raise self._failure
        assert reached, f"only {len(self.acked)} of {goal} clicks answered; refused: {self.refused}"

    def _work(self) -> None:
        try:
            connection = _Connection(self._open_socket)
            while not self._stopping.is_set():
                self._send(connection, str(next(self._numbers)))
            connection.close()
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _send(self, connection: _Connection, number: str) -> None:
        while True:
            try:
                connection.request("GET", f"{self._path}?click_id={number}")
                answer = connection.getresponse()
                answer.read()
                break
            except (
                http.client.BadStatusLine,
                http.client.IncompleteRead,
                ConnectionResetError,
                BrokenPipeError,
            ):
                # The connection ended without an answer. Refused or timed out is another matter: that fails.
                connection.close()
                with self._changed:
                    self.unanswered += 1
        with self._changed:
            if answer.status == 200:
                self.acked.add(number)
            else:
                self.refused[answer.status] += 1
            self._changed.notify_all()
