"""Reads the daemon's counters every few seconds, keeps the last hour, and says whether it is well."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from ingestd import __version__
from ingestd.admin import source_findings
from ingestd.admin.endpoints import DaemonParts, Endpoints
from ingestd.admin.health import A_QUARTER, FIVE_MINUTES, Facts, Finding, Watch, judge
from ingestd.admin.history import SLOT_SECONDS, SOURCES_A_SECOND, History
from ingestd.config.sections import Config
from ingestd.sources import links

logger = logging.getLogger(__name__)

# Files of certificates are read so often, seconds.
CERTIFICATES_SECONDS = 60.0


class Vitals:
    """The history of one instance and the judgement on it. `config` is the one in force."""

    def __init__(self, config: Config, endpoints: Endpoints, parts: DaemonParts) -> None:
        self._endpoints = endpoints
        self._counters = parts.counters
        self._watch = Watch()
        self._certificates: dict[str, float] = {}
        self._certificates_due = 0.0
        self._source_findings: Sequence[Finding] = ()
        self.started_at = time.time()
        self.reloaded(config)
        self.history = History(parts.counters, parts.batch_metrics, endpoints.numbers, lambda: self.essential)

    def reloaded(self, config: Config) -> None:
        """Take up the configuration of a reload, or of the start."""
        self.config = config
        self.by_name = {source.name: source for source in config.source}
        self.essential = {source.name: frozenset(links.needed(source)) for source in config.source}
        self._refused_reloads = self._endpoints.numbers().get("config_reload_failures", 0.0)

    async def run(self) -> None:
        """Read and judge every one to five seconds, until cancelled."""
        while True:
            await asyncio.sleep(min(SLOT_SECONDS, max(1.0, len(self._counters.by_source) / SOURCES_A_SECOND)))
            await self.look()

    async def look(self) -> None:
        """Read the counters once, and judge what is due to be judged."""
        slot = self.history.slot
        await self.history.look()
        if self.history.slot != slot:
            self._source_findings = await source_findings.find(
                self.history, self._counters, self.essential, time.monotonic(), time.time()
            )
        if time.monotonic() >= self._certificates_due:
            self._certificates_due = time.monotonic() + CERTIFICATES_SECONDS
            self._certificates = await asyncio.to_thread(self._endpoints.watched_files.certificate_expiry)

    def verdict(self) -> dict[str, Any]:
        """Is it well: the level and the findings, the worst first, in both languages."""
        return self._watch.tree(judge(self._facts()), time.monotonic())

    def _facts(self) -> Facts:
        history, numbers = self.history, self._endpoints.numbers()
        return Facts(
            ack=self.config.ingest.ack,
            rate=history.rate(),
            received=history.totals.received,
            not_ready=self._endpoints.not_ready(),
            numbers=numbers,
            increase=history.increase,
            sinks=self._endpoints.sinks(),
            spool=self.config.kafka is not None and self.config.spool.enabled,
            reload_refused=numbers.get("config_reload_failures", 0.0) > self._refused_reloads,
            refused=history.increases("refused", FIVE_MINUTES),
            dead_lettered=history.increases("dead_lettered", A_QUARTER),
            certificates={file: end - time.time() for file, end in self._certificates.items()},
            sources=self._source_findings,
        )

    def about(self) -> dict[str, Any]:
        """Facts that stay the same from one look to the next: version, mode, start, sources."""
        ingest = self.config.ingest
        return {
            "version": __version__,
            "ack": ingest.ack,
            "public_base": ingest.public_base,
            "sources": len(self.config.source),
            "started_at": self.started_at,
            "loaded_at": self._endpoints.loaded_at,
            "history_bytes": self.history.size_bytes(),
        }
