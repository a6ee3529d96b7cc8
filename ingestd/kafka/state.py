"""What the Kafka sink keeps beside its spool: how far it has delivered, and which process was the last to.

With that are counted the manifest's rows, which go from here to their topic.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ingestd.errors import SinkError
from ingestd.kafka.delivery_report import Sent
from ingestd.kafka.producer import PRODUCER_ERRORS, Client
from ingestd.kafka.progress import OwnerFile, Progress, ProgressFile
from ingestd.kafka.sender import Sender
from ingestd.spool.spool import Spool
from ingestd.system.io_thread import IoThread

logger = logging.getLogger(__name__)

# So long stopping waits for the manifest's last rows, seconds.
LAST_ROWS = 2.0


class Keeping:
    """Of one instance. `transactional`: rows go to their topic in a transaction."""

    def __init__(
        self, client: Client, sender: Sender, worker: IoThread, directory: Path, instance: str,
        *, transactional: bool,
    ) -> None:  # fmt: skip
        self._client = client
        self._sender = sender
        self._worker = worker
        self._transactional = transactional
        self._progress_file = ProgressFile(directory / f"{instance}.progress")
        self._owner_file = OwnerFile(directory / f"{instance}.owner")

    async def load(self, spool: Spool) -> Progress:
        """Where to take up an opened spool, and what the manifest has counted by then."""
        progress: Progress = await self._worker.call(self._progress_file.load, spool.checkpoint, spool.end)
        if self._sender.manifest is not None:
            self._sender.manifest.load(progress.manifest)
        return progress

    def snapshot(self, progress: Progress) -> Progress:
        """As it is now, for the thread, with the manifest's rows as they are now: the loop goes on."""
        copy = progress.copy()
        if self._sender.manifest is not None:
            copy.manifest = self._sender.manifest.tree()
        return copy

    def save(self, snapshot: Progress) -> None:
        """Blocking; a failure is only logged."""
        self._progress_file.save(snapshot)

    async def last_owner(self) -> str:
        """Who delivered from this disk before. Raises OSError."""
        owner: str = await self._worker.call(self._owner_file.read)
        return owner

    async def own(self, owner: str) -> None:
        """Raises OSError."""
        await self._worker.call(self._owner_file.write, owner)

    # the manifest

    def note(self, sent: Sent) -> None:
        """Count it; until it is saved with the progress it does not count."""
        if self._sender.manifest is not None and sent.rows is not None:
            self._sender.manifest.add(sent.rows)

    @property
    def due(self) -> bool:
        """Whether rows are to be published now."""
        return self._sender.manifest is not None and self._sender.manifest.due()

    async def publish(self, progress: Progress | None, *, all_of_it: bool = False) -> None:
        """The rows that are due, once they are saved with the progress. Between two rounds."""
        manifest = self._sender.manifest
        if manifest is None or not (all_of_it or manifest.due()):
            return
        try:
            if progress is not None:
                await self._worker.call(self.save, self.snapshot(progress))
            await self._sender.publish(all_of_it=all_of_it, transactional=self._transactional)
        except (SinkError, *PRODUCER_ERRORS) as error:
            manifest.failed(str(error) or type(error).__name__)
            await self._client.discard(type(error).__name__)

    async def publish_rest(self, progress: Progress | None) -> None:
        """At the end, all that is left."""
        try:
            await asyncio.wait_for(self.publish(progress, all_of_it=True), LAST_ROWS)
        except TimeoutError:
            logger.warning("the manifest's last rows go to their topic at the next start")
