"""`ingestd send`: real example callbacks at a running instance."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click

from ingestd import config
from ingestd.cli.options import complete_source, config_option
from ingestd.errors import IngestdError


@click.command("send")
@config_option
@click.option(
    "--to",
    "target",
    help="Where to: unix:PATH, tcp:HOST:PORT or http://HOST:PORT. Default: the config's listener.",
)
@click.option(
    "-n", "--count", type=click.IntRange(1), default=100, show_default=True, help="Requests in all."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second; default as fast as it answers.",
)
@click.option("--connections", type=click.IntRange(1, 1000), default=8, show_default=True)
@click.option(
    "--source", shell_complete=complete_source, help="Only to this source; default the sources in turn."
)
def command(
    config_path: Path, target: str | None, count: int, rate: float | None, connections: int,
    source: str | None,
) -> int:  # fmt: skip
    """Send example callbacks to a running instance.

    Say how they were answered. Exit status 1: not every reply was a success.

    \b
    Example:
      ingestd send -c conf/quickstart.toml -n 1000
      ingestd send -c /etc/ingestd/ingestd.toml --to http://127.0.0.1:80 -n 20
    """
    settings = config.load(config_path)
    address = target or settings.ingest.listen[0]
    requests = build(settings, source)
    with click.progressbar(length=count, label=f"sending to {address}") as bar:
        sender = CallbackSender(address, requests, count, rate, bar.update)
        began = time.monotonic()
        asyncio.run(sender.run(min(connections, count)))
    seconds = time.monotonic() - began
    success = sum(number for status, number in sender.answers.items() if status.startswith("2"))
    click.echo(f"{count} sent in {seconds:.2f} s ({count / seconds:.0f}/s), {success} answered with success")
    for status, number in sorted(sender.answers.items()):
        click.echo(f"  {number:>8}  {status}")
    return 0 if success == count else 1


class Example(NamedTuple):
    """One example callback: its query, raw, and a JSON body for those platforms that POST one, else empty."""

    query: str
    body: bytes = b""


def examples(profile: str) -> list[Example]:
    """A profile's example; for a profile without one (`generic`, your own) those of many platforms."""
    text = resources.files("ingestd").joinpath("data/callbacks.json").read_text("utf-8")
    data = json.loads(text)
    callbacks: dict[str, str] = data["callbacks"]
    found = data["a request of each profile"].get(profile)
    if found is None:
        return [Example(urlsplit(url).query) for url in callbacks.values()]
    if isinstance(found, str):
        return [Example(urlsplit(callbacks.get(found, found)).query)]
    return [Example(urlsplit(found["url"]).query, json.dumps(found["json"], ensure_ascii=False).encode())]


def build(settings: config.Config, only: str | None) -> list[bytes]:
    """Requests of every configured source (or `only` one), with the examples of its profile in turn."""
    sources = [source for source in settings.source if only in (None, source.name)]
    if not sources:
        known = ", ".join(source.name for source in settings.source)
        raise IngestdError(f"--source {only}: there is no such source, there are {known}")
    return [_request(source.path, one) for source in sources for one in examples(source.profile)]


def _request(path: str, example: Example) -> bytes:
    method, fields = "GET", ""
    if example.body:
        method = "POST"
        fields = f"Content-Type: application/json\r\nContent-Length: {len(example.body)}\r\n"
    query = f"?{example.query}" if example.query else ""
    head = (
        f"{method} {path}/example{query} HTTP/1.1\r\nHost: click.example.com\r\n"
        f"User-Agent: ingestd-send\r\n{fields}\r\n"
    )
    return head.encode() + example.body


class CallbackSender:
    """Sends over several keep-alive connections; `answers` counts what came back."""

    def __init__(
        self, address: str, requests: list[bytes], count: int, rate: float | None, progress: object
    ) -> None:
        self._address = address
        self._requests = requests
        self._numbers = iter(range(count))
        self._rate = rate
        self._progress = progress
        self._began = 0.0
        self.answers: Counter[str] = Counter()

    async def run(self, connections: int) -> None:
        """Send everything. Raises IngestdError where nobody listens."""
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
            self.answers[status] += 1
            self._progress(1)  # type: ignore[operator]
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
            return f"no answer ({type(error).__name__})", True
        return lines[0].partition(" ")[2], fields.get("connection") == "close"

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        kind, _, rest = self._address.partition(":")
        try:
            if kind == "unix":
                return await asyncio.open_unix_connection(rest)
            host, _, port = (
                rest.strip("/").rpartition(":") if ":" in rest.strip("/") else (rest.strip("/"), "", "80")
            )
            return await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            raise IngestdError(f"cannot reach {self._address}: {error}; is ingestd running?") from error
