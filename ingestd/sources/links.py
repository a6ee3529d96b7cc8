"""The tracking link ad operations paste into a platform's console."""

from __future__ import annotations

from ingestd.config.source import SourceConfig

TOKEN = "<token>"  # noqa: S105 - where the token goes


def link(source: SourceConfig, base: str, route: str, token: str = TOKEN) -> str:
    """The link, macros and all. `base`: scheme and host. What a platform appends itself is not in it."""
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


def missing(source: SourceConfig) -> dict[str, str]:
    """Parameters that something depends on and the link does not bring, and what that is."""
    present = {name for name, macro in source.link.items() if macro}
    needed = dict.fromkeys(source.mandatory, "mandatory")
    if source.link:  # else the platform appends what it has, or sends a body
        if source.event_time:
            needed.setdefault(source.event_time.param, "event_time")
        for name in source.dedup[:1]:
            needed.setdefault(name.split("+")[0], "dedup")
        if source.key and not present.intersection(source.key):
            needed.setdefault(source.key[0], "key")
        if source.signature.covers_query:
            needed.setdefault(source.signature.param, "signature")
    elif source.profile == "generic":
        needed = {}
    return {name: why for name, why in needed.items() if name not in present}
