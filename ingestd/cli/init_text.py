"""The text of the configuration that `init` writes: the keys a beginner needs, each with what it is for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestd.config.profiles import Profiles

HEAD = """\
# Written by `ingestd init`. `ingestd check` says what is wrong with it, and what to write instead.
# All settings and their defaults: conf/README.md and conf/ingestd.toml of ingestd.
"""
FILE_OPTIONS = """\
# compress = "zstd"                 # finished files; also "gzip"
# keep_days = 7                     # 0: keep finished files for ever
"""
KAFKA_OPTIONS = """\
# Files in ./secrets hold the user and the password:
# security = { protocol = "SASL_SSL", username_file = "kafka-user", password_file = "kafka-password" }
"""
SPOOL = "# Batches that Kafka has not confirmed.\n[spool]\n"
ADMIN = "# Health, metrics, and what `ingestd top` and `tail` read.\n[admin]\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """The contents of a configuration. `sources`: name and profile. `bootstrap`: Kafka's, () for none.

    `files`: write files. `state`: the directory below which files and the spool are.
    """

    listen: str
    admin: str
    base: str
    state: Path
    sources: Sequence[tuple[str, str]]
    files: bool
    bootstrap: Sequence[str] = ()
    topic: str = "clicks"


def configuration(plan: Plan) -> str:
    """The TOML text. Raises KeyError for an unknown profile."""
    parts = [HEAD, f"[ingest]\nlisten = {_text(plan.listen)}\n{_base(plan.base)}"]
    if plan.files:
        parts.append(f"[file]\ndirectory = {_text(plan.state / 'clicks')}\n{FILE_OPTIONS}")
    if plan.bootstrap:
        where = f"bootstrap = {json.dumps(list(plan.bootstrap))}\ntopic = {_text(plan.topic)}\n"
        where += f"dead_letter_directory = {_text(plan.state / 'dead')}\n"
        parts.append(f"[kafka]\n{where}{KAFKA_OPTIONS}")
        parts.append(f"{SPOOL}directory = {_text(plan.state / 'spool')}\n")
    parts.append(f"{ADMIN}listen = {_text(plan.admin)}\n")
    profiles = Profiles()
    parts += [_source(name, profile, profiles.load(profile)) for name, profile in plan.sources]
    return "\n".join(parts)


def _base(base: str) -> str:
    if base:
        return f"public_base = {_text(base)}   # the scheme and host that platforms call\n"
    return '# public_base = "https://click.example.com"   # the scheme and host that platforms call\n'


def _source(name: str, profile: str, known: dict[str, Any]) -> str:
    mandatory = ", ".join(known.get("mandatory", []))
    title = known.get("title", profile)
    lines = [f"# {title}" + (f"; the link must bring {mandatory}" if mandatory else "")]
    keys = {"name": name, "path": f"/c/{name}", "profile": profile}
    lines += ["[[source]]", *(f"{key} = {_text(value)}" for key, value in keys.items())]
    kind = known.get("signature", {}).get("kind", "none")
    if kind != "none":
        lines.append(f'# signature.key_file = "{name}.key"   # in ./secrets: then {kind} is verified')
    return "\n".join(lines) + "\n"


def _text(value: str | Path) -> str:
    return json.dumps(str(value), ensure_ascii=False)
