"""An instance whose listening socket is somebody else's, as under a systemd socket unit."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.daemon import Daemon

BACKLOG = 4096
# Executes a command with descriptor argv[1] as its third and as the one systemd hands over.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="ingestd.socket")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Activated(Daemon):
    """The socket listens from the beginning to `close`, whether a process serves it or not."""

    def __init__(self, place: Path, **settings: Any) -> None:
        super().__init__(place, **settings)
        self._held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._held.bind(str(self.socket))
        if os.geteuid() == 0:
            shutil.chown(self.socket, group="www-data")
        self.socket.chmod(0o660)
        self._held.listen(BACKLOG)

    def spawn(self, before: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> Self:
        held = self._held.fileno()
        return super().spawn([*before, sys.executable, "-c", HAND_OVER, str(held)], [*pass_fds, held])

    def close(self) -> None:
        super().close()
        self._held.close()
