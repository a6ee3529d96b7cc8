"""`ingestd replay --from files`: finished files, dead letters and spools to Kafka.

It can be stopped and run again: a checkpoint, durable after every round, says how far each file was sent.
A kill between a round and its checkpoint sends that round again, with the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ingestd import config
from ingestd.cli.replay_checkpoint import Checkpoints
from ingestd.errors import IngestdError
from ingestd.event import LINE_START
from ingestd.file import names
from ingestd.file.compression import UNREADABLE, open_plain
from ingestd.kafka.delivery_report import DeliveryReport
from ingestd.kafka.factory import command_sender
from ingestd.kafka.sender import Sender
from ingestd.spool import inspect
from ingestd.spool.envelope import is_envelope
from ingestd.system import log

ROUND_BYTES = 4 << 20
# In the line of a dead letter, what precedes the event; before it are the reason and the topic.
_LETTER = b'"event":'


class ReplayTotals:
    """Counts of a replay: events and bytes read, lines skipped, events delivered, dead letters by reason."""

    def __init__(self) -> None:
        self.events = 0
        self.bytes = 0
        self.skipped = 0  # lines that are not events
        self.delivered = 0
        self.dead: dict[str, int] = {}

    def add(self, sent: DeliveryReport) -> None:
        """Count what Kafka did with one round."""
        self.delivered += sum(count for count, _ in sent.delivered.values())
        for (_, reason), count in sent.dead.items():
            self.dead[reason] = self.dead.get(reason, 0) + count


def run(path: Path, inputs: tuple[Path, ...], checkpoint: Path | None, *, dry_run: bool) -> int:
    """Send every event of the inputs. Returns the exit status: 1 if an event was refused or a line skipped.

    Raises ConfigError, IngestdError.
    """
    settings = config.load(path)
    if settings.kafka is None and not dry_run:
        raise IngestdError(f"{path}: there is no [kafka] section to send to")
    if settings.kafka is not None and settings.file is not None and not inputs:
        inputs = (settings.file.directory,)
    files = [file.absolute() for file in expand(inputs)]
    if not files:
        raise IngestdError(
            f"nothing to replay: no finished file among {', '.join(map(str, inputs)) or 'no inputs'}"
        )
    log.setup("warning", "logfmt")
    totals = ReplayTotals()
    marks = Checkpoints(checkpoint or Path("replay.checkpoint"))
    asyncio.run(_replay(settings, files, marks, totals, dry_run))
    verb = "would be sent" if dry_run else "delivered"
    count = totals.events if dry_run else totals.delivered
    click.echo(
        f"{count} events {verb}, {totals.bytes} bytes, {totals.skipped} lines skipped that are not events"
    )
    for reason, number in sorted(totals.dead.items()):
        click.echo(f"  {number:>8}  dead letters: {reason}")
    return 1 if totals.dead or totals.skipped else 0


def expand(inputs: tuple[Path, ...]) -> Iterator[Path]:
    """Files as they are; of a directory its finished NDJSON files, or the spool it is."""
    for path in inputs:
        if not path.exists():
            raise IngestdError(f"{path}: is not there")
        if not path.is_dir() or any(path.glob("*.spool")):
            yield path
        else:
            yield from names.finished_once(entry for entry in path.iterdir() if entry.is_file())


async def _replay(
    settings: config.Config, files: list[Path], marks: Checkpoints, totals: ReplayTotals, dry_run: bool
) -> None:
    sender = None if settings.kafka is None or dry_run else command_sender(settings)
    try:
        with click.progressbar(length=sum(map(size_of, files)), label="replaying") as bar:
            for file in files:
                await _replay_file(file, str(file), sender, marks, totals, bar)
    finally:
        if sender is not None:
            await sender.close()


async def _replay_file(
    file: Path, name: str, sender: Sender | None, marks: Checkpoints, totals: ReplayTotals, bar: Any
) -> None:
    already, line_number, size = marks.done(name), 0, 0
    waiting: list[bytes] = []
    share = size_of(file)
    shown = 0
    for line in read_lines(file):
        line_number += 1
        if line_number <= already:
            continue
        event = event_of(line)
        if event is None:
            totals.skipped += 1
            continue
        waiting.append(event)
        size += len(event)
        if is_envelope(event):
            continue  # it belongs to the event of the next line, and goes with it
        totals.events += 1
        totals.bytes += len(event)
        if size >= ROUND_BYTES:
            await _send(sender, waiting, totals)
            if sender is not None:
                marks.save(name, line_number)
            step = min(size, share - shown)
            bar.update(step)
            shown, waiting, size = shown + step, [], 0
    await _send(sender, waiting, totals)
    if sender is not None:
        marks.save(name, line_number)
    bar.update(share - shown)


async def _send(sender: Sender | None, lines: list[bytes], totals: ReplayTotals) -> None:
    if sender is not None and lines:
        totals.add(await sender.send([b"\n".join(lines) + b"\n"]))


def event_of(line: bytes) -> bytes | None:
    """The event, or its envelope, in a line of a file, a spool or a dead letter; None in any other line."""
    if line.startswith(LINE_START):
        return line if line.endswith(b"}") else None
    if is_envelope(line):
        return line
    start = line.find(_LETTER)
    if line.startswith(b'{"reason":') and start > 0:
        event = line[start + len(_LETTER) : -1]
        return event if event.startswith(LINE_START) and event.endswith(b"}") else None
    return None


def size_of(path: Path) -> int:
    """Bytes on disk, for the progress bar."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.glob("*.spool"))
    return path.stat().st_size


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or compressed, or of a spool. Raises IngestdError."""
    try:
        if path.is_dir():
            for stored in inspect.entries(path):
                yield from stored.payload.rstrip(b"\n").split(b"\n")
            return
        with open_plain(path) as plain:
            for line in plain:
                yield line.rstrip(b"\n")
    except UNREADABLE as error:
        raise IngestdError(f"{path}: {error}") from error
