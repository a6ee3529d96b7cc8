"""The tracking link that ad operations paste into a platform's console."""

from __future__ import annotations

from ingestd.config.source import SourceConfig

TOKEN = "<token>"  # noqa: S105 - where the token goes


def link(source: SourceConfig, base: str, route: str, token: str = TOKEN) -> str:
    """The source's link with its macros; parameters that a platform appends by itself are not in it.

    `base`: scheme and host. `route`: an app or a campaign, after the source's path; may be empty.
    """
    signature = source.signature
    by_token = signature.verifies and signature.kind == "token"
    path = source.path
    if by_token and signature.place == "path":
        path += f"/{token}"
    if route:
        path += f"/{route.strip('/')}"
    pairs = {name: macro for name, macro in source.link.items() if macro}
    # Where a signature must end the query it does; where none is verified its macro would stay behind.
    signed = pairs.pop(signature.param, "") if signature.kind != "none" else ""
    if by_token and signature.place == "query":
        pairs[signature.param] = token
    elif signature.verifies and signed:
        pairs[signature.param] = signed
    query = "&".join(f"{name}={macro}" for name, macro in pairs.items())
    return f"{base.rstrip('/')}{path}?{query}" if query else f"{base.rstrip('/')}{path}"


def needed(source: SourceConfig) -> dict[str, str]:
    """The parameters a link must bring, and what needs each: mandatory, event_time, dedup, key, signature."""
    wanted = dict.fromkeys(source.mandatory, "mandatory")
    if source.link:  # else the platform appends what it has, or sends a body
        if source.event_time:
            wanted.setdefault(source.event_time.param, "event_time")
        for name in source.dedup[:1]:
            wanted.setdefault(name.split("+")[0], "dedup")
        if source.key and not any(source.link.get(name) for name in source.key):
            wanted.setdefault(source.key[0], "key")
        if source.signature.covers_query:
            wanted.setdefault(source.signature.param, "signature")
    elif source.profile == "generic":
        return {}
    return wanted


def missing(source: SourceConfig) -> dict[str, str]:
    """The needed parameters that the source's own link does not bring, each with what needs it."""
    return {name: why for name, why in needed(source).items() if not source.link.get(name)}
