"""The configuration: frozen and typed; every key but those of the sources has a default; no side effects.

`load` reads TOML and `INGESTD_<SECTION>_<KEY>` from the environment and raises ConfigError with every
problem it finds, each with the key, what is wrong and what to write instead.
"""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ingestd.config import messages, profiles
from ingestd.config.kafka import KafkaConfig, SpoolConfig
from ingestd.config.source import SourceConfig
from ingestd.config.types import (
    Duration,
    FileMode,
    Listen,
    Name,
    Peer,
    Positive,
    PublicBase,
    Section,
    Size,
    is_local,
    one_or_list,
)
from ingestd.errors import ConfigError, Problem

# A payload of the spool must have room for all events of a request: it is never split. In bytes: a payload
# (spool.format.MAX_PAYLOAD) without the events before the request's, and an event's envelope (spool.envelope)
# without its key, which is a copy of something in the line.
MAX_PAYLOAD = (64 << 20) - (64 << 10)
MAX_ENVELOPE = 1024
# Each has counters and series of its own. Measured with so many (bench/scale): 163 MiB, a start of 1.8 s, and
# 0.7 s for a scrape.
MAX_SOURCES = 10_000


class IngestConfig(Section):
    """[ingest]: where requests arrive, their limits, and when they are answered."""

    listen: Annotated[tuple[Listen, ...], BeforeValidator(one_or_list)] = ("unix:/run/ingestd/ingestd.sock",)
    socket_mode: FileMode = "0660"  # type: ignore[assignment]
    socket_group: str = ""
    backlog: Positive = 4096
    ack: Literal["stored", "queued"] = "stored"
    instance: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = Field(
        default_factory=lambda: socket.gethostname()[:64] or "0"
    )
    max_connections: Positive = 20000
    max_target: Size = "32KiB"  # type: ignore[assignment]
    max_headers: Size = "32KiB"  # type: ignore[assignment]
    max_body: Size = "1MiB"  # type: ignore[assignment]
    max_inflated: Size = "8MiB"  # type: ignore[assignment]
    max_unfinished: Size = "64MiB"  # type: ignore[assignment]
    max_lines: Size = "8MiB"  # type: ignore[assignment]
    max_expansion: Annotated[int, Field(ge=16)] = 256
    max_events: Positive = 10_000
    max_values: Positive = 200_000
    header_timeout: Duration = "10s"  # type: ignore[assignment]
    body_timeout: Duration = "30s"  # type: ignore[assignment]
    idle_timeout: Duration = "90s"  # type: ignore[assignment]
    drain_timeout: Duration = "20s"  # type: ignore[assignment]
    shutdown_delay: Duration = "0s"  # type: ignore[assignment]
    public_base: PublicBase = ""  # the scheme and host platforms call, over which they sign
    profile_directory: Path | None = None  # profiles of one's own; relative to this file's directory


class BufferConfig(Section):
    """[buffer]: the cap on bytes not yet stored."""

    max_bytes: Size = "256MiB"  # type: ignore[assignment]


class FlushConfig(Section):
    """[flush]: when a batch is written."""

    interval: Duration = "200ms"  # type: ignore[assignment]
    max_events: Positive = 5000
    max_bytes: Size = "4MiB"  # type: ignore[assignment]
    stall_timeout: Duration = "2500ms"  # type: ignore[assignment]


class FileConfig(Section):
    """[file]: the file sink."""

    directory: Path = Path("/var/lib/ingestd/clicks")
    prefix: Name = "clicks"
    rotate_bytes: Size = "512MiB"  # type: ignore[assignment]
    rotate_every: Duration = "1h"  # type: ignore[assignment]
    compress: Literal["none", "gzip", "zstd"] = "none"
    keep_days: Annotated[float, Field(ge=0)] = 0
    keep_bytes: Size = "0B"  # type: ignore[assignment]
    file_mode: FileMode = "0640"  # type: ignore[assignment]
    manifest: bool = True


class AdminConfig(Section):
    """[admin]: health, metrics, status and live events, on a listener of their own.

    Whoever reaches it may read them: other machines only where `allow_remote` says so.
    """

    listen: Listen = "tcp:127.0.0.1:9401"
    allow_remote: bool = False
    spill_log: Path | None = Path("/var/log/nginx/ingestd.spill")
    certificates: tuple[Path, ...] = ()
    peers: Annotated[tuple[Peer, ...], BeforeValidator(one_or_list)] = ()  # instances the page shows as well

    @model_validator(mode="after")
    def _of_this_machine(self) -> Self:
        if not self.allow_remote and not is_local(self.listen):
            raise ValueError(
                f"{self.listen} can be reached from other machines, and all who reach it can read events; "
                'write listen = "tcp:127.0.0.1:9401", or allow_remote = true'
            )
        return self


class LogConfig(Section):
    """[log]: lines on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"


class TracingConfig(Section):
    """[tracing]: OpenTelemetry spans of batches, to an OTLP/HTTP collector; off without an endpoint."""

    endpoint: Annotated[str, Field(pattern=r"^(https?://[^\s@]+)?$")] = ""
    sample: Annotated[float, Field(ge=0, le=1)] = 0.1


class Config(Section):
    """The configuration file. Without [file] and [kafka] there is a file sink with the defaults of [file]."""

    ingest: IngestConfig = IngestConfig()
    buffer: BufferConfig = BufferConfig()
    flush: FlushConfig = FlushConfig()
    file: FileConfig | None = None
    kafka: KafkaConfig | None = None
    spool: SpoolConfig = SpoolConfig()
    admin: AdminConfig = AdminConfig()
    log: LogConfig = LogConfig()
    tracing: TracingConfig = TracingConfig()
    source: tuple[SourceConfig, ...] = ()

    @model_validator(mode="after")
    def _files_unless_told_otherwise(self) -> Self:
        if self.file is None and self.kafka is None:
            object.__setattr__(self, "file", FileConfig())
        return self


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration file. Raises ConfigError with every problem found."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [Problem("file", f"cannot be read: {error}")]) from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [Problem("TOML", str(error))]) from error
    return parse(tree, str(path), environ)


def parse(tree: dict[str, Any], origin: str, environ: Mapping[str, str]) -> Config:
    """Validate a parsed TOML tree. Raises ConfigError."""
    sources = tree.get("source")
    if isinstance(sources, list) and (problem := too_many_sources(len(sources))):
        raise ConfigError(origin, [problem])  # at once: to validate them takes a second for every 7,000
    problems = _override(tree, environ)
    beside = Path(origin).absolute().parent
    problems += profiles.apply(tree, beside, frozenset(SourceConfig.model_fields))
    try:
        config = Config.model_validate(tree, context={"beside": beside, "environ": environ})
    except ValidationError as error:
        raise ConfigError(origin, problems + messages.explain(error, Config)) from None
    problems += _across_keys(config)
    if problems:
        raise ConfigError(origin, problems)
    return config


def too_many_sources(count: int) -> Problem | None:
    """The Problem with this many sources, those a reload has removed included; None up to MAX_SOURCES."""
    if count <= MAX_SOURCES:
        return None
    hint = "give some of them to another instance with a configuration of its own"
    return Problem("source", f"{count:,} sources are more than the maximum, {MAX_SOURCES:,}", hint)


def _override(tree: dict[str, Any], environ: Mapping[str, str]) -> list[Problem]:
    """Lay INGESTD_<SECTION>_<KEY> over the tree: a TOML value, or else plain text."""
    sections = {name for name in Config.model_fields if name != "source"}
    problems = []
    for variable, text in sorted(environ.items()):
        section, _, key = variable.removeprefix("INGESTD_").lower().partition("_")
        if not variable.startswith("INGESTD_") or not key:
            continue
        if section not in sections:
            problems.append(Problem(variable, "unknown section", messages.nearest(section, sections)))
            continue
        table = tree.setdefault(section, {})
        if isinstance(table, dict):  # else validation reports the section of the file
            table[key] = _value(section, key, text)
    return problems


def _value(section: str, key: str, text: str) -> object:
    """A variable's value: parsed as TOML if it is TOML, unless the key wants text (INSTANCE=1)."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    wanted = messages.model_at(Config, (section,)).model_fields.get(key)
    return text if wanted is not None and wanted.annotation is str and not isinstance(value, str) else value


def _across_keys(config: Config) -> list[Problem]:
    problems: list[Problem] = []
    seen: dict[tuple[str, str], int] = {}
    if not config.source:
        problems.append(Problem("source", "is missing", 'add a [[source]] with name and path = "/c/..."'))
    for index, source in enumerate(config.source):
        for key in ("name", "path"):
            value = getattr(source, key)
            first = seen.setdefault((key, value), index)
            if first != index:
                what = f"{value!r} is used by source[{first}] already"
                problems.append(Problem(f"source[{index}].{key}", what))
        if source.signature.needs_base and not (source.signature.public_base or config.ingest.public_base):
            problems.append(
                Problem(
                    "ingest.public_base",
                    f"is missing, and the signature of source {source.name} covers the whole URL",
                    'write public_base = "https://click.example.com"',
                )
            )
    exactly_once = config.kafka is not None and config.kafka.delivery == "exactly_once"
    if exactly_once and not (config.ingest.ack == "stored" and config.spool.enabled):
        hint = 'write ingest.ack = "stored" and leave spool.enabled = true'
        problems.append(Problem("kafka.delivery", '"exactly_once" needs stored mode and a spool', hint))
    ingest = config.ingest
    most = (MAX_PAYLOAD - ingest.max_events * MAX_ENVELOPE) // 2
    if most < ingest.max_lines:
        what = "with this ingest.max_events could make a request larger than a frame of the spool"
        hint = f"write at most {max(most, 0) >> 20}MiB, or a smaller max_events"
        problems.append(Problem("ingest.max_lines", what, hint))
    if config.flush.max_bytes > config.buffer.max_bytes:
        problems.append(
            Problem("flush.max_bytes", "is more than buffer.max_bytes", "a batch must fit into the buffer")
        )
    return problems
