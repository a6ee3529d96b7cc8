"""Files that ingestd depends on and does not write: certificates and nginx's spill log, read at a scrape."""

from __future__ import annotations

import logging
from pathlib import Path

from ingestd.admin import certificates
from ingestd.config.sections import Config

logger = logging.getLogger(__name__)


class WatchedFiles:
    """The files that one configuration names; a reload makes a new object."""

    def __init__(self, config: Config) -> None:
        self._spill_log = config.admin.spill_log
        # A chain expires with its first certificate; of several authorities one is enough.
        self._chains = list(config.admin.certificates)
        self._authorities: list[Path] = []
        if config.kafka is not None:
            security = config.kafka.security
            self._chains += [security.cert_file] if security.cert_file else []
            self._authorities += [security.ca_file] if security.ca_file else []
        self._reported: set[Path] = set()

    def certificate_expiry(self) -> dict[str, float]:
        """When each file's certificates expire, in seconds since the epoch. Unreadable files are left out."""
        found: dict[str, float] = {}
        for choose, paths in ((min, self._chains), (max, self._authorities)):
            for path in paths:
                try:
                    found[str(path)] = choose(certificates.expiry(path.read_bytes()))
                except (OSError, ValueError) as error:
                    if path not in self._reported:
                        about = {"file": str(path), "error": str(error)}
                        logger.warning("certificate cannot be read", extra=about)
                    self._reported.add(path)
        return found

    def metrics(self) -> dict[str, float]:
        """Values by the names in `admin.metrics`; {} without a spill log that may be read."""
        if self._spill_log is None:
            return {}
        try:
            return {"spill_log_bytes": float(self._spill_log.stat().st_size)}
        except FileNotFoundError:
            return {"spill_log_bytes": 0.0}
        except OSError:  # no permission to look
            return {}
