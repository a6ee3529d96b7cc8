"""`ingestd serve`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import uvloop

from ingestd import config
from ingestd.app import App
from ingestd.system import log

logger = logging.getLogger(__name__)

# Events hold personal data: what has no mode of its own configured is the owner's and the group's alone.
UMASK = 0o027


def run(path: Path) -> int:
    """Serve until told to stop. Returns the exit status. Raises ConfigError, ListenError, SinkError."""
    settings = config.load(path)
    os.umask(UMASK)
    limit = log.setup(settings.log.level, settings.log.format)
    failed = uvloop.run(_serve(settings, path, limit))
    if failed:
        # A worker thread may hang in the disk for ever; the interpreter would wait for it.
        sys.stderr.flush()
        os._exit(1)
    return 0


async def _serve(settings: config.Config, path: Path, limit: log.RateLimit) -> bool:
    app = App(settings, lambda: config.load(path), limit)
    await app.run()
    return app.failed
