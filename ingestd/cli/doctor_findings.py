"""The findings of `doctor`: each a sentence that says what looks wrong and what to do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ingestd import __version__, config
from ingestd.cli import admin_client, check_unit, nginx
from ingestd.cli.check_unit_paths import nearest
from ingestd.errors import IngestdError

FREE_SHARE, FREE_BYTES = 0.05, 1 << 30
_NAMED = re.compile(r'"=([a-z0-9][a-z0-9_.-]*)"')
# The message of a log line of level error or critical, in both formats.
_LOGFMT = re.compile(r'level=(?:error|critical) msg=("[^"]*"|\S+)')
_JSON = re.compile(r'"level": ?"(?:error|critical)".*?"msg": ?"([^"]*)"')


@dataclass
class Look:
    """A running instance's answers. `now`: of /api/now, None with the reason in `error`."""

    address: str
    now: dict[str, Any] | None = None
    status: dict[str, Any] = field(default_factory=dict)
    metrics: str = ""
    error: str = ""


def look_at(address: str) -> Look:
    """Ask an instance for its verdict, status and metrics."""
    look = Look(address)
    try:
        look.now = orjson.loads(admin_client.fetch(address, "/api/now?since=0"))
        look.status = admin_client.status(address)
        look.metrics = admin_client.fetch(address, "/metrics").decode()
    except (IngestdError, orjson.JSONDecodeError) as error:
        look.error = str(error)
    return look


def of_instances(looks: Sequence[Look], config_path: Path) -> Iterator[str]:
    """An instance's own verdict, and what it cannot know: that it is older than what is installed."""
    for look in looks:
        if look.now is None:
            yield look.error
            continue
        node = look.now["node"]
        for found in look.now["health"]["findings"]:
            if found["level"] in ("bad", "warn"):
                words = " ".join(found[part]["en"] for part in ("says", "means", "do") if found[part]["en"])
                yield f"{node}: {words}" + (f" ({found['detail']})" if found["detail"] else "")
        if look.now["version"] != __version__:
            running = look.now["version"]
            yield f"{node}: runs version {running}, installed is {__version__}: restart it to take it up"
        if config_path.exists() and config_path.stat().st_mtime > look.now["loaded_at"]:
            yield f"{node}: {config_path} has changed since it was loaded: systemctl reload ingestd"


def of_log(lines: Sequence[str]) -> Iterator[str]:
    """The errors among the last log lines, each once with how often."""
    counts: dict[str, int] = {}
    for line in lines:
        if found := _LOGFMT.search(line) or _JSON.search(line):
            message = found[1].strip('"')
            counts[message] = counts.get(message, 0) + 1
    for message, count in counts.items():
        yield f"log: {message} ({count} of the last {len(lines)} lines)"


def of_disk(settings: config.Config) -> Iterator[str]:
    """A directory on a file system that is nearly full."""
    for key, directory in check_unit.directories(settings).items():
        usage = shutil.disk_usage(nearest(directory))
        if usage.free < FREE_BYTES or usage.free < FREE_SHARE * usage.total:
            free, size = usage.free / (1 << 30), usage.total / (1 << 30)
            yield f"{key}: {directory} has {free:.1f} of {size:.1f} GiB left; when it is full, clicks get 503"


def of_nginx(settings: config.Config, directory: Path) -> Iterator[str]:
    """Sources that nginx does not know, or still knows: those it cannot answer for, nor spill as theirs."""
    path = directory / nginx.FILES[0]
    again = f"ingestd nginx -o {directory} && nginx -t && systemctl reload nginx"
    if not directory.exists():
        return  # no nginx here, or another's
    try:
        known = set(_NAMED.findall(path.read_text("utf-8")))
    except OSError as error:
        yield f"nginx: {path} cannot be read: {error.strerror}"
        return
    configured = {source.name for source in settings.source}
    if missing := sorted(configured - known):
        what = f"it has no reply for {_few(missing)} while no instance responds"
        yield f"nginx: {what}: {again}"
    if gone := sorted(known - configured):
        yield f"nginx: it answers for {_few(gone)}, not in the configuration any more: {again}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
