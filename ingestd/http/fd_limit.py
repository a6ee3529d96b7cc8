"""Keeps open files in reserve for files, the spool and Kafka, so that clients cannot use them up."""

from __future__ import annotations

import logging
import resource

logger = logging.getLogger(__name__)

# Open files of everything but client connections: listeners, files and their thread, segments of the spool,
# brokers, 64 admin connections, and connections that are being refused.
RESERVED = 256


def room(connections: int) -> int:
    """The number of connections that RLIMIT_NOFILE allows, at most `connections`.

    Raises the soft limit as far as the hard one allows.
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
