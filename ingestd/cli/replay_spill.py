"""`ingestd replay --from nginx-spill`: the requests that nginx answered itself become events.

Each line goes through the sources as its request would have, at the time nginx took it. An event's id follows
from nginx's request id, so a replay that is killed and repeated makes the same events. They go to Kafka or,
without [kafka], into finished files beside the daemon's. The checkpoint names a spill file by the hash of its
first line, because logs are renamed and the next one gets the old name.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import click
from xxhash import xxh3_64_hexdigest

from ingestd import config
from ingestd.cli import spill_log
from ingestd.cli.replay_checkpoint import Checkpoints
from ingestd.cli.spill_events import Converter, Round
from ingestd.errors import IngestdError
from ingestd.event import RECEIVED_AT_SLICE
from ingestd.file import names
from ingestd.kafka.factory import command_sender
from ingestd.spool.envelope import payloads
from ingestd.system import durable, log

ROUND_BYTES = 16 << 20


def run(path: Path, inputs: tuple[Path, ...], checkpoint: Path | None, *, dry_run: bool) -> int:
    """Replay every line of the inputs. Returns the exit status: 1 if a line or an event could not be used.

    Raises IngestdError, ConfigError.
    """
    settings = config.load(path)
    missing = [str(file) for file in inputs if not file.is_file()]
    if missing or not inputs:
        raise IngestdError(f"no spill file: {', '.join(missing) or 'name at least one'}")
    log.setup("warning", "logfmt")
    totals = SpillTotals()
    marks = Checkpoints(checkpoint or Path("replay.checkpoint"))
    try:
        asyncio.run(_replay(settings, [file.absolute() for file in inputs], marks, totals, dry_run))
    except OSError as error:
        raise IngestdError(f"{error.filename}: {error.strerror}") from error
    _say(totals, dry_run)
    return 1 if totals.bad or totals.dead else 0


class SpillTotals:
    """Counts of a replay. `bad`: quarantined lines by reason. `dead`: dead letters by reason."""

    def __init__(self) -> None:
        self.lines = 0
        self.events = 0
        self.files: list[Path] = []
        self.bad: Counter[str] = Counter()
        self.dead: Counter[str] = Counter()


def _say(totals: SpillTotals, dry_run: bool) -> None:
    done = "would be replayed" if dry_run else "replayed"
    click.echo(f"{totals.lines} lines read, {totals.events} events {done}, {totals.bad.total()} quarantined")
    for file in totals.files:
        click.echo(f"  written   {file}")
    for reason, count in sorted(totals.bad.items()):
        click.echo(f"  {count:>8}  quarantined: {reason}")
    for reason, count in sorted(totals.dead.items()):
        click.echo(f"  {count:>8}  dead letters: {reason}")


async def _replay(
    settings: config.Config, files: list[Path], marks: Checkpoints, totals: SpillTotals, dry_run: bool
) -> None:
    converter = Converter(settings)
    sink: KafkaOut | FileOut | None = None
    if dry_run:
        pass
    elif settings.kafka is not None:
        sink = KafkaOut(settings, totals)
    elif settings.file is not None:
        sink = FileOut(settings.file, totals)
    try:
        with click.progressbar(files, label="replaying") as bar:
            for file in bar:
                await _replay_file(file, converter, sink, marks, totals)
    finally:
        if isinstance(sink, KafkaOut):
            await sink.close()


async def _replay_file(
    file: Path, converter: Converter, sink: KafkaOut | FileOut | None, marks: Checkpoints, totals: SpillTotals
) -> None:
    name, number, done, now = "", 0, 0, Round(0)
    for line in spill_log.read(file):
        if not line.endswith(b"\n") and len(line) < spill_log.MAX_LINE:
            # Not counted as done: nginx may be about to write the rest of it.
            mark = f"{name or _name(line)}-torn-{now.last}"
            if marks.done(mark) != len(line):
                _quarantine_torn(file, line, mark, totals, None if sink is None else marks)
            continue
        if not name:
            name = _name(line)
            done = marks.done(name)
            if isinstance(sink, FileOut):
                done = sink.stored_up_to(name, done)
            now = Round(done)
        number += 1
        if number <= done:
            continue
        totals.lines += 1
        now.add(line, converter)
        if now.size >= ROUND_BYTES:
            await _store(file, name, now, sink, marks, totals)
            now = Round(now.last)
    await _store(file, name, now, sink, marks, totals)


def _name(line: bytes) -> str:
    return f"spill-{xxh3_64_hexdigest(line)}"


def _quarantine_torn(
    file: Path, line: bytes, mark: str, totals: SpillTotals, marks: Checkpoints | None
) -> None:
    """Quarantine a last line without its end, once; without `marks` it is only counted."""
    totals.lines += 1
    totals.bad["torn or foreign line"] += 1
    if marks is not None:
        durable.quarantine(file, line + b"\n")
        marks.save(mark, len(line))


async def _store(
    file: Path,
    name: str,
    now: Round,
    sink: KafkaOut | FileOut | None,
    marks: Checkpoints,
    totals: SpillTotals,
) -> None:
    """Make a round durable: the quarantined lines, the events, then the checkpoint."""
    totals.bad += now.reasons
    totals.events += sum(entry.data.count(b"\n") for entry in now.entries)
    if sink is None or now.last == now.first:
        return
    if now.bad:
        durable.quarantine(file, b"".join(now.bad))
    if now.entries:
        await sink.store(name, now)
    marks.save(name, now.last)


class KafkaOut:
    """Sends the events to Kafka, as the daemon does."""

    def __init__(self, settings: config.Config, totals: SpillTotals) -> None:
        self._totals = totals
        self._sender = command_sender(settings)

    async def store(self, name: str, now: Round) -> None:
        """Returns when every event is confirmed, or a dead letter."""
        report = await self._sender.send(payloads(now.entries))
        for (_, reason), count in report.dead.items():
            self._totals.dead[reason] += count

    async def close(self) -> None:
        """Close the connection, without waiting for Kafka."""
        await self._sender.close()


class FileOut:
    """Writes the events to finished files in the file sink's directory, one for each round.

    A file's name has the spill and its lines, so that it is recognised if a kill prevented its checkpoint.
    """

    def __init__(self, settings: config.FileConfig, totals: SpillTotals) -> None:
        self._settings = settings
        self._totals = totals

    def stored_up_to(self, name: str, done: int) -> int:
        """The line up to which files exist already; at least `done`."""
        stem = f"{self._settings.prefix}-{name}-"
        found = self._settings.directory.glob(f"{stem}*")
        ranges = [path.name.removeprefix(stem).split("-") for path in found]
        following = {int(first): int(last) for first, last, *_ in ranges}
        while done in following:
            done = following[done]
        return done

    async def store(self, name: str, now: Round) -> None:
        """Returns when the file is durable under its name. Raises OSError."""
        await asyncio.to_thread(self._write, name, now)

    def _write(self, name: str, now: Round) -> None:
        directory, settings = self._settings.directory, self._settings
        durable.make_directory(directory)
        data = b"".join(entry.data for entry in now.entries)
        at = int(data[RECEIVED_AT_SLICE])
        stem = f"{settings.prefix}-{name}-{now.first}-{now.last}"
        final = directory / names.file_name(stem, at)
        owner = None
        if os.geteuid() == 0:  # the daemon, which compresses and removes files, is another user
            state = directory.stat()
            owner = state.st_uid, state.st_gid
        hidden = directory / f".{final.name}"
        temporary = durable.write_temporary(hidden, data, settings.file_mode, owner=owner)
        self._totals.files.append(durable.rename_new(temporary, final))
