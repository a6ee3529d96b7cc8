"""The status page at `/`: its files, and the data they ask for. Reads the daemon, changes nothing.

Everything that grows with the sources is done in slices or in a thread: the loop does not wait for the page.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson

from ingestd.admin import arrivals, evidence, redaction, static_files
from ingestd.admin.arrivals import Arrivals
from ingestd.admin.counter_totals import COLUMNS
from ingestd.admin.endpoints import DaemonParts, Endpoints
from ingestd.admin.pasted import explain_pasted
from ingestd.admin.peers import Peers, relaying
from ingestd.admin.recent_events import last_events
from ingestd.admin.server import PRIVATE, Handler, PostHandler, Stream, as_private_json, problem
from ingestd.admin.source_table import SourceTable
from ingestd.admin.tail import paced
from ingestd.admin.vitals import Vitals
from ingestd.config.sections import FileConfig
from ingestd.config.source import SourceConfig
from ingestd.errors import IngestdError, Problem
from ingestd.http.responses import Reply
from ingestd.sources import advice, factory, links

# Seconds that an answer serves everybody who asks: five pages cost what one does.
NOW_SECONDS = 0.8
# A page asks again after so many seconds; the more of them ask, the later.
AGAIN_SECONDS, ASKED_A_SECOND = 2.0, 5.0
# A page that waits for clicks takes a 400th of the loop's time at the most, a few clicks at a time.
CLICKS_SLICE, CLICKS_REST = 10, 399
SHOWN_NUMBERS = (
    "unstored_events", "buffer_bytes", "buffer_max_bytes", "connections", "kafka_connected",
    "kafka_waiting_seconds", "spool_bytes", "spool_disk_bytes", "spool_max_bytes", "spool_oldest_age_seconds",
    "spool_seconds_to_full", "file_missed_events", "kafka_missed_events", "manifest_mismatches",
)  # fmt: skip


class StatusPage:
    """The page of one instance, and through it of its peers."""

    def __init__(self, vitals: Vitals, endpoints: Endpoints, parts: DaemonParts) -> None:
        self._vitals = vitals
        self._endpoints = endpoints
        self._parts = parts
        self._asked: deque[float] = deque(maxlen=1000)
        self._now: dict[str, Any] = {}
        self._now_until = 0.0
        self._evidence, self._evidence_of = b"", (Path(), 0)
        self._evidence_lock = asyncio.Lock()
        self._table = SourceTable(vitals, endpoints, parts.counters)

    def handlers(self) -> dict[str, Handler]:
        """By path: the files, and the data."""
        data: dict[str, Handler] = {
            "/api/now": self._get_now,
            "/api/names": self._table.names,
            "/api/table": self._table.columns,
            "/api/source": self._get_source,
            "/api/events": self._get_events,
            "/api/evidence": self._get_evidence,
            "/api/clicks": self._get_clicks,
        }
        relayed = {path: relaying(self._peers, path, handler) for path, handler in data.items()}
        return {**static_files.handlers(), **relayed, "/api/instances": self._get_instances}

    def posts(self) -> dict[str, PostHandler]:
        """Explain: a body may be long, or hold what must not be in a URL."""
        return {"/api/explain": self._post_explain}

    # several instances

    def _peers(self) -> Peers:
        admin = self._vitals.config.admin
        return Peers(admin.listen, admin.peers)

    async def _get_instances(self, query: str) -> Reply:
        peers = self._peers()
        return as_private_json({"own": peers.own, "addresses": peers.addresses})

    # what changes

    async def _get_now(self, query: str) -> Reply:
        now = time.monotonic()
        self._asked.append(now)
        if now >= self._now_until:
            self._now = self._build_now()
            self._now_until = now + NOW_SECONDS
        since = _number(query, "since")
        recent = sum(1 for at in self._asked if at > now - 10)
        again = max(AGAIN_SECONDS, AGAIN_SECONDS * recent / (10 * ASKED_A_SECOND))
        history = self._vitals.history.tree(since)
        return as_private_json({**self._now, "again_seconds": again, "history": history})

    def _build_now(self) -> dict[str, Any]:
        vitals, numbers = self._vitals, self._endpoints.numbers()
        return {
            "node": self._parts.node,
            "pid": os.getpid(),
            **vitals.about(),
            "now": time.time(),
            "revision": self._table.revision(),
            "health": vitals.verdict(),
            "rate": round(vitals.history.rate(), 2),
            "totals": asdict(vitals.history.totals),
            "numbers": {
                name: numbers[name]
                for name in SHOWN_NUMBERS
                if numbers.get(name, float("inf")) != float("inf")
            },
            "sinks": self._endpoints.sinks(),
        }

    # one source

    async def _get_source(self, query: str) -> Reply:
        name = _text(query, "name")
        counters, config = self._parts.counters.by_source.get(name), self._vitals.by_name.get(name)
        if counters is None or config is None:
            return problem(404, f"no source {name}")
        number = list(self._parts.counters.by_source).index(name)
        sources = self._vitals.history.sources
        base = self._vitals.config.ingest.public_base
        found = await asyncio.to_thread(self._checked, config)
        return as_private_json({
            "name": name, "path": config.path, "profile": config.profile, "title": config.title,
            "type": config.type, "methods": config.methods, "signature": config.signature.kind,
            "verifies": config.signature.verifies, "reply": [config.reply.status, config.reply.body],
            "link": links.link(config, base or "https://<your-domain>", _text(query, "route")),
            "base_known": bool(base),
            "expected": arrivals.expected(config),
            "notes": config.link_notes, "unconfirmed": config.unconfirmed,
            "check": [asdict(problem) for problem in found],
            "columns": COLUMNS, "over_time": sources.over_time(number, time.monotonic()),
            "counters": counters.summary(),
        })  # fmt: skip

    def _checked(self, config: SourceConfig) -> list[Problem]:
        """What `check` says of a source."""
        problems: list[Problem] = []
        factory.read_keys(config, problems)
        return problems + list(advice.of_source(config, self._vitals.config))

    async def _get_events(self, query: str) -> Reply:
        """A source's last events out of the file that is being written."""
        name = _text(query, "name")
        config = self._vitals.by_name.get(name)
        if config is None:
            return problem(404, f"no source {name}")
        file = self._endpoints.sinks().get("file", {})
        if not file.get("file"):
            return as_private_json({"events": [], "file": file.get("file")})
        path = Path(file["directory"]) / file["file"]
        try:
            events = await asyncio.to_thread(last_events, path, name, redaction.names(config))
        except OSError as error:  # finished and renamed just now
            return problem(503, f"{path.name}: {error.strerror}")
        return as_private_json({"events": events, "file": path.name})

    async def _get_clicks(self, query: str) -> Reply | Stream:
        """A source's events as they are stored, each held up to what its platform should send."""
        name = _text(query, "name")
        config = self._vitals.by_name.get(name)
        if config is None:
            return problem(404, f"no source {name}")
        if self._parts.subscribers.full:
            return problem(503, "as many as are allowed are watching events already")

        expected = Arrivals(config)

        def shown(line: bytes) -> bytes:
            return orjson.dumps(expected.judged(orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE)

        return Stream(
            "application/x-ndjson",
            paced(
                self._parts.subscribers, name, (), shown, lines_a_slice=CLICKS_SLICE, rest_times=CLICKS_REST
            ),
        )

    # the rest

    async def _get_evidence(self, query: str) -> Reply:
        """The manifests, and the last audit."""
        settings = self._vitals.config.file
        if settings is None:
            return as_private_json(None)
        async with self._evidence_lock:
            try:
                await asyncio.to_thread(self._look_at_evidence, settings)
            except OSError as error:
                return problem(503, f"{settings.directory}: {error.strerror}")
        return _json(self._evidence)

    def _look_at_evidence(self, settings: FileConfig) -> None:
        """Look again where a file came, went or was renamed since."""
        changed = settings.directory.stat().st_mtime_ns
        if self._evidence_of != (settings.directory, changed):
            self._evidence = orjson.dumps(evidence.look(settings.directory, settings.prefix))
            self._evidence_of = (settings.directory, changed)

    async def _post_explain(self, query: str, body: bytes) -> Reply:
        asked = (
            body,
            self._vitals.config,
            self._parts.intake.router,
            _text(query, "source"),
            _text(query, "type"),
        )
        try:
            return as_private_json(await asyncio.to_thread(explain_pasted, *asked))
        except IngestdError as error:
            return problem(400, str(error))


def _text(query: str, name: str) -> str:
    return parse_qs(query).get(name, [""])[-1]


def _number(query: str, name: str) -> int:
    text = _text(query, name)
    return int(text) if text.isdigit() and len(text) < 12 else 0


def _json(data: bytes) -> Reply:
    return Reply(200, data, "application/json", PRIVATE)
