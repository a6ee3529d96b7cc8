"""Redacts credentials from events and requests shown to people.

A platform's callback parameter is a credential: whoever has it can post conversions. Logs and metrics contain
no parameter values at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from ingestd.config.source import SourceConfig

MASK = "***"
# Parameters that are masked for every source; a source adds its own (`credentials`).
ALWAYS = frozenset({
    "akey", "callback", "callback_param", "callback_url", "callbackurl", "imp", "secret", "security_token",
    "sign", "signature", "token", "trackid", "verification_token",
})  # fmt: skip


def names(source: SourceConfig) -> frozenset[str]:
    """The parameters to mask in the events of a source, in lower case."""
    return ALWAYS | {name.lower() for name in (*source.credentials, source.signature.param)}


def mask_query(raw: bytes, hidden: frozenset[str]) -> bytes:
    """A raw query with the values of `hidden` parameters masked."""
    pairs = []
    for pair in raw.split(b"&"):
        name, equals, value = pair.partition(b"=")
        plain = unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace")
        pairs.append(name + equals + MASK.encode() if value and plain.lower() in hidden else pair)
    return b"&".join(pairs)


def mask_event(event: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    """An event with the values of `hidden` parameters masked in `params`, `raw` and `body`."""
    masked = dict(event)
    masked["params"] = _mask(event["params"], hidden)
    if "raw" in event:
        masked["raw"] = mask_query(event["raw"].encode("latin-1"), hidden).decode("latin-1")
    body = event.get("body")
    if isinstance(body, str):  # perhaps a form that could not be decoded without loss
        masked["body"] = mask_query(body.encode(), hidden).decode()
    elif body is not None:
        masked["body"] = _mask(body, hidden)
    return masked


def _mask(value: Any, hidden: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            name: MASK if inner and name.lower() in hidden else _mask(inner, hidden)
            for name, inner in value.items()
        }
    return [_mask(inner, hidden) for inner in value] if isinstance(value, list) else value
