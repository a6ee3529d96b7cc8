"""A Unix socket between nginx and the daemon that hands bytes on and writes them down."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass
class Recorded:
    """One connection: what came from the front, in the pieces it came in."""

    pieces: list[bytes] = field(default_factory=list)
    turns: int = 0  # times the front sent something first, or after something had come back
    _answered: bool = True

    def sent(self, data: bytes) -> None:
        self.turns += self._answered
        self._answered = False
        self.pieces.append(data)

    def answered(self) -> None:
        self._answered = True

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


class Recorder:
    """Listens on `path` and hands every connection on to `target`."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ending, self._end = socket.socketpair()
        self._peers: dict[socket.socket, tuple[socket.socket, Recorded, bool]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.connections: list[Recorded] = []

    def __enter__(self) -> Self:
        self._listening.bind(str(self.path))
        self.path.chmod(0o666)
        self._listening.listen(64)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()
        self._thread.join()
        for sock in (*self._peers, self._listening, self._ending):
            sock.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._ending, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._ending:
                        return
                    if key.fileobj is self._listening:
                        self._take(selector)
                    elif key.fileobj in self._peers:
                        self._pass_on(selector, key.fileobj)

    def _take(self, selector: selectors.BaseSelector) -> None:
        front, _ = self._listening.accept()
        back = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        back.connect(str(self._target))
        record = Recorded()
        self.connections.append(record)
        self._peers[front], self._peers[back] = (back, record, True), (front, record, False)
        selector.register(front, selectors.EVENT_READ)
        selector.register(back, selectors.EVENT_READ)

    def _pass_on(self, selector: selectors.BaseSelector, sock: socket.socket) -> None:
        other, record, from_front = self._peers[sock]
        try:
            data = sock.recv(1 << 16)
            if data:
                if from_front:
                    record.sent(data)
                else:
                    record.answered()
                other.sendall(data)
                return
        except OSError:
            pass
        for one in (sock, other):
            with contextlib.suppress(KeyError):
                selector.unregister(one)
            self._peers.pop(one, None)
            one.close()
