"""The event, schema v1, as JSON Schema (draft 2020-12): what `ingestd schema` prints."""

from __future__ import annotations

from typing import Any

from ingestd.event import SCHEMA_VERSION


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


JSON_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "ingestd event, schema v1",
    "type": "object",
    "properties": {
        "v": {"const": SCHEMA_VERSION, "description": "schema version"},
        "id": {
            "type": "string",
            "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
            "description": "UUIDv7, unique to this event; also the Kafka header `id`",
        },
        "dup_key": {
            "type": "string",
            "pattern": "^[0-9a-f]{32}$",
            "description": "equal for repeats of one click: XXH3-128 of source, type and click id, "
            "else of source, type, route and the raw query (and body) less volatile parameters; under "
            "privacy, of what is left",
        },
        "received_at": {"type": "integer", "description": "our clock, ms since the epoch"},
        "event_at": {
            "type": ["integer", "null"],
            "description": "the platform's own time of the event, ms since the epoch; null if unknown",
        },
        "source": _text("the configured source's name"),
        "route": _text("what follows the source's path, without its slash"),
        "type": {"enum": ["click", "impression", "postback"]},
        "method": _text("the request's method"),
        "path": _text(
            "the request's path as received, each character one byte (ISO-8859-1); a token in it is ***"
        ),
        "params": {
            "type": "object",
            "description": "the query's parameters, then a form body's, decoded once; blank values kept",
            "additionalProperties": {
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
            },
        },
        "raw": _text(
            "the query exactly as received, each character one byte (ISO-8859-1), but for what the source's "
            "privacy settings and tokens take out"
        ),
        "body": {"description": "JSON as JSON; anything else as text (see the flag body_not_utf8)"},
        "content_type": _text("the body's media type as received"),
        "client_ip": _text("the platform's or user's address, as nginx saw it, under address_privacy"),
        "forwarded_for": _text("the whole X-Forwarded-For header, under address_privacy"),
        "user_agent": _text("the request's User-Agent"),
        "signature": {
            "enum": ["ok", "bad", "missing", "none"],
            "description": "whether the request proved whose it is; none: the source verifies nothing",
        },
        "flags": {
            "type": "array",
            "items": {"type": "string"},
            "description": "what is odd about the event: macro:<param> (a macro left in), bad_utf8, "
            "bad_percent, bad_json, raw_body (body is the form as received), body_not_utf8, "
            "header_not_utf8, body_withheld (privacy), stale, future (event_at against our clock), "
            "duplicate (seen within the source's window), signature_expired, spilled (nginx took it), "
            "test (sent by `ingestd send`)",
        },
        "node": _text("host/instance that took the event"),
    },
    "required": [
        "v", "id", "dup_key", "received_at", "event_at", "source", "route", "type", "method", "path",
        "params", "client_ip", "forwarded_for", "user_agent", "signature", "flags", "node",
    ],
    "additionalProperties": False,
}  # fmt: skip
