"""Builds sources from the configuration: reads their secrets, and reports all problems at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ingestd.config import secrets
from ingestd.config.secrets import Secret, SecretError
from ingestd.config.sections import Config
from ingestd.config.source import BY_HEADER, SourceConfig
from ingestd.errors import ConfigError, Problem
from ingestd.pipeline.counters import Counters
from ingestd.sources.budget import Budget
from ingestd.sources.dedup_window import DuplicateWindow
from ingestd.sources.privacy import Privacy
from ingestd.sources.signatures import BodySignature, ConcatSignature, UrlSignature, Verifier
from ingestd.sources.source import Source
from ingestd.sources.tokens import Token

if TYPE_CHECKING:
    from ingestd.sources.public_key import PublicKeyVerifier

CRYPTOGRAPHY = (
    'pip install "cryptography>=47" into this environment (the extra "signatures"), '
    'or write signature = { kind = "none" }'
)
HINT = "the file holds the secret and nothing else, readable for ingestd's user"


def build(
    config: Config, counters: Counters, node: str, windows: Mapping[str, DuplicateWindow] | None = None
) -> list[Source]:
    """The configured sources. Raises ConfigError for missing secrets, before any counters are touched.

    `windows`: those in use, by the source's name. A source keeps its window unless the size changes.
    """
    known = windows or {}
    ingest = config.ingest
    budget = Budget(
        ingest.max_inflated, ingest.max_lines, ingest.max_expansion, ingest.max_events, ingest.max_values
    )
    problems: list[Problem] = []
    keys = [read_keys(source, problems) for source in config.source]
    public_keys = [_public_key(source, problems) for source in config.source]
    privacy = [_privacy(source, problems) for source in config.source]
    if problems:
        raise ConfigError("secrets", problems)
    return [
        Source(
            source,
            counters.of(source.name),
            node,
            budget,
            verifier(source, found, config.ingest.public_base) if found else None,
            hidden,
            _window(source.dedup_window, known.get(source.name)),
            public_key,
        )
        for source, found, public_key, hidden in zip(config.source, keys, public_keys, privacy, strict=True)
    ]


def windows_of(sources: Iterable[Source]) -> dict[str, DuplicateWindow]:
    """The windows of the sources that have one, by the source's name."""
    return {source.name: source.window for source in sources if source.window is not None}


def _window(capacity: int, known: DuplicateWindow | None) -> DuplicateWindow | None:
    if known is not None and known.capacity == capacity:
        return known
    return DuplicateWindow(capacity) if capacity else None


def verifier(settings: SourceConfig, keys: Sequence[Secret], public_base: str) -> Verifier:
    """The verifier for a source's kind of signature. `keys`: at least one. `public_base`: scheme and host."""
    signature = settings.signature
    values = tuple(key.reveal() for key in keys)
    if signature.kind == "token":
        return Token(signature, values, settings.path)
    if signature.kind in BY_HEADER:
        return BodySignature(signature, values)
    if signature.kind == "md5_concat":
        return ConcatSignature(signature, values)
    return UrlSignature(signature, values, signature.public_base or public_base)


def secret_problems(config: Config) -> list[Problem]:
    """The problems with the secrets that the sources need: files missing, unreadable or empty."""
    problems: list[Problem] = []
    for source in config.source:
        read_keys(source, problems)
        _public_key(source, problems)
        _privacy(source, problems)
    return problems


def read_keys(source: SourceConfig, problems: list[Problem]) -> list[Secret]:
    """The secrets a source verifies with, of all its files. Appends to `problems` each file that fails."""
    found: list[Secret] = []
    if source.signature.verifies and not source.signature.by_public_key:
        for path in source.signature.key_file:
            try:
                found += secrets.read(path)
            except SecretError as error:
                problems.append(Problem(f"source {source.name}: signature.key_file", str(error), HINT))
    return found


def _public_key(source: SourceConfig, problems: list[Problem]) -> PublicKeyVerifier | None:
    signature = source.signature
    if not (signature.by_public_key and signature.verifies):
        return None
    if importlib.util.find_spec("cryptography") is None:
        what = f"{signature.kind} needs the package cryptography, which is not installed"
        problems.append(Problem(f"source {source.name}: signature.kind", what, CRYPTOGRAPHY))
        return None
    from ingestd.sources import public_key_files

    try:
        return public_key_files.build(signature)
    except public_key_files.PublicKeyError as error:
        problems.append(Problem(f"source {source.name}: signature", str(error)))
        return None


def _privacy(source: SourceConfig, problems: list[Problem]) -> Privacy | None:
    if not source.privacy and source.address_privacy == "keep":
        return None
    key = b""
    if source.privacy_key_file is not None:
        try:
            key = secrets.read(source.privacy_key_file)[0].reveal()
        except SecretError as error:
            problems.append(Problem(f"source {source.name}: privacy_key_file", str(error), HINT))
    return Privacy(source, key)
