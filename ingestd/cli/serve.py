"""`ingestd serve`: the daemon."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click
import uvloop

from ingestd import config
from ingestd.app import App
from ingestd.cli.options import config_option
from ingestd.system import log

logger = logging.getLogger(__name__)

# Events hold personal data: what has no mode of its own configured is the owner's and the group's alone.
UMASK = 0o027


@click.command("serve")
@config_option
def command(config_path: Path) -> int:
    """Run the daemon.

    \b
    Signals: TERM, INT  graceful shutdown: answer the requests in flight, store everything, stop
             HUP        reload the sources; a wrong configuration changes nothing
             USR1       rotate: finish the current file
    Exit status: 0 stopped gracefully, 1 could not start or store everything, 78 wrong configuration.

    \b
    Example:
      ingestd serve -c conf/quickstart.toml
    """
    settings = config.load(config_path)
    os.umask(UMASK)
    limit = log.setup(settings.log.level, settings.log.format)
    failed = uvloop.run(_serve(settings, config_path, limit))
    if failed:
        # A worker thread may hang in the disk for ever; the interpreter would wait for it.
        logging.shutdown()
        os._exit(1)
    return 0


async def _serve(settings: config.Config, path: Path, limit: log.LogRateLimit) -> bool:
    app = App(settings, lambda: config.load(path), limit)
    await app.run()
    return app.failed
