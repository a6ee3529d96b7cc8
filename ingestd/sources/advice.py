"""The warnings of `check`: a configuration that can be used and may yet not do what was meant."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from ingestd.config.sections import Config
from ingestd.config.source import SourceConfig
from ingestd.config.types import is_local
from ingestd.errors import Problem
from ingestd.sources import links
from ingestd.sources.link_faults import judge


def advice(settings: Config) -> list[Problem]:
    """Everything worth a second look, source by source."""
    found = [problem for source in settings.source for problem in of_source(source, settings)]
    if settings.kafka is not None:
        security = settings.kafka.security
        files = (security.username_file, security.password_file, security.key_file)
        found += [_public("kafka.security", path) for path in files if path is not None and _is_public(path)]
    if settings.ingest.public_base.startswith("http:"):
        what = "platforms call over http: anyone on the way reads the clicks"
        found.append(Problem("ingest.public_base", what, 'write "https://..."'))
    if not is_local(settings.admin.listen):
        what = "other machines reach it, and read events without a password"
        found.append(Problem("admin.allow_remote", what, "let a firewall have only your Prometheus in"))
    return found


def unconfirmed(settings: Config) -> list[Problem]:
    """Each fact that no document of a platform confirms, once for a profile however many sources use it."""
    facts = dict.fromkeys((one.profile, fact) for one in settings.source for fact in one.unconfirmed)
    return [Problem(f"profile {profile}", f"not confirmed: {fact}") for profile, fact in facts]


def of_source(source: SourceConfig, settings: Config) -> Iterator[Problem]:
    """The warnings about one source."""
    where = f"source {source.name}"
    for other in settings.source:
        if other.path.startswith(f"{source.path}/"):
            route = other.path[len(source.path) + 1 :]
            yield Problem(where, f"its routes {route!r} and below go to source {other.name} ({other.path})")
    yield from _signature(source, where)
    for name, why in links.missing(source).items():
        hint = f'write link.{name} = "<the platform\'s macro>", or set the key to the name that is there'
        yield Problem(where, f"the tracking link lacks {name!r} ({why})", hint)
    yield from _link(source, where)
    if source.on_overload.status < 400:
        hint = "the platform will not send them again: use 503"
        yield Problem(
            f"{where}: on_overload.status", "tells the platform that refused events were taken", hint
        )
    if source.reply.status >= 400:
        what = "tells the platform that events were not taken"
        yield Problem(f"{where}: reply.status", what, "use 200, or they come again and again")
    for name in (*source.dedup, *source.key):
        if source.privacy.get(name) == "drop":
            yield Problem(where, f"privacy drops {name!r}, which dedup or key asks for", 'use "hmac" instead')


def _link(source: SourceConfig, where: str) -> Iterator[Problem]:
    """The faults of the macros in the source's own link."""
    for fault in judge(links.link(source, "https://click.example.com", ""), source):
        if fault.kind != "missing":
            hint = f'write link.{fault.param} = "{fault.write}"' if fault.write else ""
            if not fault.certain:
                hint = "if the platform replaces it, add it to the source's macros"
            yield Problem(f"{where}: link.{fault.param}", fault.what, hint)


def _signature(source: SourceConfig, where: str) -> Iterator[Problem]:
    signature = source.signature
    if signature.kind != "none" and not signature.verifies:
        hint = 'write signature.key_file = "<file>", or signature = { kind = "none" }'
        yield Problem(where, f"the platform can sign ({signature.kind}), and nothing is verified", hint)
    secrets = () if signature.by_public_key else signature.key_file
    files = [*secrets, *([source.privacy_key_file] if source.privacy_key_file else [])]
    for path in files:
        if _is_public(path):
            yield _public(where, path)


def _public(where: str, path: Path) -> Problem:
    return Problem(where, f"{path} can be read by everybody", f"chmod 0640 {path}")


def _is_public(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False  # said elsewhere
