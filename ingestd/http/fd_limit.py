"""Open files: a client's connections must never take those that files, the spool and Kafka need."""

from __future__ import annotations

import logging
import resource

logger = logging.getLogger(__name__)

# What everything but clients may have open at once: listeners, files and their worker, segments of the spool,
# brokers, 64 admin connections, and connections that are being turned away.
RESERVED = 256


def room(connections: int) -> int:
    """How many connections there may be, at most `connections`, by the process' limit of open files.

    The soft limit is raised as far as the hard one allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVED
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most >= wanted:
        return connections
    fewer = max(most - RESERVED, most // 4)
    logger.warning(
        "the limit of open files allows fewer connections than max_connections",
        extra={"open_files": most, "connections": fewer, "max_connections": connections},
    )
    return fewer
