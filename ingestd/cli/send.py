"""`ingestd send`: example callbacks to a running instance."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click

from ingestd import config
from ingestd.cli.options import complete_source, config_option
from ingestd.cli.send_requests import build
from ingestd.cli.send_target import FORMS, Target, TargetType, connect, parse


@click.command("send")
@config_option
@click.option(
    "--to", "target", type=TargetType(),
    help=f"Where to: {FORMS}. Default: the first address of ingest.listen.",
)  # fmt: skip
@click.option(
    "-n", "--count", type=click.IntRange(1), default=100, show_default=True, help="Requests in all."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second; default: as fast as they are answered.",
)
@click.option("--connections", type=click.IntRange(1, 1000), default=8, show_default=True)
@click.option(
    "--source", shell_complete=complete_source, help="Only to this source; default: to all in turn."
)
@click.option(
    "--host", help="The Host header, and the name in the certificate. Default: that of ingest.public_base."
)
@click.option("--insecure", is_flag=True, help="With https: accept any certificate.")
def command(
    config_path: Path, target: Target | None, count: int, rate: float | None, connections: int,
    source: str | None, host: str | None, insecure: bool,
) -> int:  # fmt: skip
    """Send example callbacks to a running instance.

    A source gets the example of its profile, by that platform's method, at the present time and signed with
    the source's first key. The events have the route `ingestd-test` and the flag `test`, so that analysts can
    leave them out; files and manifests have them as any other event.

    \b
    Exit status: 0, or 1 if a response was not a success.

    \b
    Example:
      ingestd send -c conf/quickstart.toml -n 1000
      ingestd send --source ocean -n 1 --to https://127.0.0.1 --host click.example.com
    """
    settings = config.load(config_path)
    target = target or parse(settings.ingest.listen[0])
    name = host or urlsplit(settings.ingest.public_base).hostname or target.host or "localhost"
    requests = build(settings, source, name)
    with click.progressbar(length=count, label=f"sending to {target.text}") as bar:
        sender = CallbackSender(target, name, requests, count, rate, bar.update, verify=not insecure)
        began = time.monotonic()
        asyncio.run(sender.run(min(connections, count)))
    seconds = time.monotonic() - began
    success = sum(number for status, number in sender.responses.items() if status.startswith("2"))
    click.echo(f"{count} sent in {seconds:.2f} s ({count / seconds:.0f}/s), {success} answered with success")
    for status, number in sorted(sender.responses.items()):
        click.echo(f"  {number:>8}  {status}")
    return 0 if success == count else 1


class CallbackSender:
    """Sends over several keep-alive connections; `responses` counts them by status."""

    def __init__(
        self, target: Target, host: str, requests: list[bytes], count: int, rate: float | None,
        progress: Callable[[int], object], *, verify: bool,
    ) -> None:  # fmt: skip
        self._target = target
        self._host = host
        self._verify = verify
        self._requests = requests
        self._numbers = iter(range(count))
        self._rate = rate
        self._progress = progress
        self._began = 0.0
        self.responses: Counter[str] = Counter()

    async def run(self, connections: int) -> None:
        """Send everything. Raises IngestdError if the target is unreachable."""
        self._began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(connections):
                    group.create_task(self._worker())
        except ExceptionGroup as failures:  # what one connection met, the others meet too
            raise failures.exceptions[0] from failures

    async def _worker(self) -> None:
        reader, writer = await self._connect()
        for number in self._numbers:
            if self._rate is not None:
                await asyncio.sleep(max(0.0, self._began + number / self._rate - time.monotonic()))
            status, closes = await self._one(reader, writer, self._requests[number % len(self._requests)])
            self.responses[status] += 1
            self._progress(1)
            if closes:
                writer.close()
                reader, writer = await self._connect()
        writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[str, bool]:
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            await reader.readexactly(int(fields.get("content-length", "0")))
        except (OSError, asyncio.IncompleteReadError) as error:
            return f"no response ({type(error).__name__})", True
        return lines[0].partition(" ")[2], fields.get("connection") == "close"

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await connect(self._target, self._host, verify=self._verify)
