"""A configured source at work: one request in, the event's final bytes out.

This is the hot path. Per event: one decode of the query, one dumps, no lock, no log line.
"""

from __future__ import annotations

from typing import Any

import orjson
from uuid_utils import uuid7
from xxhash import xxh3_128_hexdigest

from ingestd import config_source
from ingestd.accounts import Account
from ingestd.event import SCHEMA_VERSION
from ingestd.http1 import Headers
from ingestd.replies import REFUSALS, Reply
from ingestd.sources import bodies, macros, query
from ingestd.sources.query import Decoded, Params

FORM = "application/x-www-form-urlencoded"
# From here on a bare number is milliseconds: 10^11 s is the year 5138, 10^11 ms is 1973.
AUTO_MS = 100_000_000_000
# Values that stand for "there is none"; never a click id.
NULL_LIKE = frozenset(
    {"", "0", "-", "null", "NULL", "none", "None", "undefined", "unknown", "000000000000000"}
    | {"00000000-0000-0000-0000-000000000000", "02:00:00:00:00:00"}
)


class Source:
    """One source: its configuration made ready, its account, its replies."""

    __slots__ = (
        "_body_limit", "_dedup", "_event_time", "_keep_raw", "_prefix", "_refusals", "_unit", "_volatile",
        "account", "config", "methods", "name", "node", "reply", "type",
    )  # fmt: skip

    def __init__(
        self, settings: config_source.Source, account: Account, node: str, inflated_limit: int
    ) -> None:
        self.config = settings
        self.account = account
        self.name = settings.name
        self.type = settings.type
        self.node = node
        self.methods = frozenset(method.encode() for method in settings.methods)
        answer = settings.reply
        self.reply = Reply(answer.status, answer.body.encode(), answer.content_type)
        self._refusals = _refusals(settings.on_overload)
        self._body_limit = inflated_limit
        self._dedup = settings.dedup
        self._volatile = tuple(name.encode() + b"=" for name in settings.volatile)
        self._keep_raw = settings.keep_raw
        self._event_time = settings.event_time.param if settings.event_time else None
        self._unit = settings.event_time.unit if settings.event_time else "auto"
        self._prefix = f"{settings.name}\0{settings.type}\0".encode()

    def refusal(self, reason: str) -> Reply:
        """The reply to an event that cannot be taken now, in the source's own form."""
        return self._refusals[reason]

    def events(
        self, method: bytes, path: str, route: str, raw: bytes, headers: Headers, body: bytes,
        client_ip: str, received_ns: int,
    ) -> tuple[bytes, int]:  # fmt: skip
        """The NDJSON lines a request becomes, and how many.

        `received_ns`: wall clock, ns. Raises RequestRefusedError where the body does not decompress.
        """
        decoded = query.decode(raw)
        event: dict[str, Any] = {
            "v": SCHEMA_VERSION,
            "id": str(uuid7()),
            "dup_key": "",
            "received_at": received_ns // 1_000_000,
            "event_at": None,
            "source": self.name,
            "route": route,
            "type": self.type,
            "method": method.decode(),
            "path": path,
            "params": decoded.params,
        }
        flags = [*decoded.flags]
        if raw and (self._keep_raw == "always" or (decoded.lossy and self._keep_raw == "odd")):
            event["raw"] = raw.decode("latin-1")
        parts = self._body(event, body, headers, decoded, flags) if body else ()
        params: Params = event["params"]
        if (body or macros.may_contain(raw)) and (left := macros.find(params)):
            for name in left:
                self.account.macro(name)
            flags += [f"macro:{name}" for name in left]
        event["client_ip"] = client_ip
        event["forwarded_for"] = _text(headers.find(b"X-Forwarded-For"), flags)
        event["user_agent"] = _text(headers.find(b"User-Agent"), flags)
        event["signature"] = "none"
        event["flags"] = flags
        event["node"] = self.node
        if parts:
            return self._several(event, parts, params, route, raw)
        event["event_at"] = self._event_at(params, {})
        event["dup_key"] = self._dup_key(params, {}, route, raw, b"")
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE), 1

    def _body(
        self, event: dict[str, Any], body: bytes, headers: Headers, decoded: Decoded, flags: list[str]
    ) -> list[bodies.Part]:
        """Put a body into the event: a form among the parameters, anything else as parts to come."""
        encoding = headers.find(b"Content-Encoding")
        if encoding:
            body = bodies.inflate(body, encoding, self._body_limit)
        content_type = _text(headers.find(b"Content-Type"), flags)
        event["content_type"] = content_type
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type != FORM:
            return bodies.split(body, media_type)
        form = query.decode(body)
        event["params"] = merged(decoded.params, form.params)
        flags += [flag for flag in form.flags if flag not in flags]
        if form.lossy and self._keep_raw != "never":
            return [bodies.Part(body.decode("latin-1"), {}, body, ("raw_body",))]
        return [bodies.Part(None, {}, body)]

    def _several(
        self, event: dict[str, Any], parts: list[bodies.Part], params: Params, route: str, raw: bytes
    ) -> tuple[bytes, int]:
        """One line for each part of the body; the parts share everything but id, body and keys."""
        lines = []
        flags = event["flags"]
        for number, part in enumerate(parts):
            if number:
                event["id"] = str(uuid7())
            event["dup_key"] = self._dup_key(params, part.keys, route, raw, part.raw)
            event["event_at"] = self._event_at(params, part.keys)
            if part.value is not None:
                event["body"] = part.value
            left = macros.find(part.keys)
            for name in left:
                self.account.macro(name)
            event["flags"] = [*flags, *part.flags, *(f"macro:{name}" for name in left)]
            lines.append(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
        return b"".join(lines), len(lines)

    def _dup_key(self, params: Params, keys: dict[str, Any], route: str, raw: bytes, body: bytes) -> str:
        for name in self._dedup:
            value = params.get(name)
            if value is None:
                value = keys.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and value not in NULL_LIKE and not macros.is_macro(value):
                return xxh3_128_hexdigest(self._prefix + value.encode())
        if self._volatile:
            pairs = raw.split(b"&")
            raw = b"&".join(pair for pair in pairs if not pair.startswith(self._volatile))
        return xxh3_128_hexdigest(b"%s%s\0%s\0%s" % (self._prefix, route.encode(), raw, body))

    def _event_at(self, params: Params, keys: dict[str, Any]) -> int | None:
        """The platform's own time in ms since the epoch, or None where it is missing or no number."""
        if self._event_time is None:
            return None
        value = params.get(self._event_time, keys.get(self._event_time))
        if isinstance(value, list):
            value = value[0]
        try:
            number = int(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            return None
        if not 0 < number < 10_000_000_000_000:
            return None
        in_seconds = self._unit == "s" or (self._unit == "auto" and number < AUTO_MS)
        return number * 1000 if in_seconds else number


def merged(first: Params, second: Params) -> Params:
    """The query's parameters, then the form's; a name in both gathers all its values."""
    params: Params = {name: [*value] if isinstance(value, list) else value for name, value in first.items()}
    for name, value in second.items():
        for one in value if isinstance(value, list) else [value]:
            query.add(params, name, one)
    return params


def _text(value: bytes | None, flags: list[str]) -> str:
    """A header's text: UTF-8 where it is, else each byte as one character, with a flag."""
    if value is None:
        return ""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        if "header_not_utf8" not in flags:
            flags.append("header_not_utf8")
        return value.decode("latin-1")


def _refusals(overload: config_source.OverloadConfig) -> dict[str, Reply]:
    headers = (("Retry-After", str(overload.retry_after)),) if overload.retry_after else ()
    own = Reply(overload.status, overload.body.encode(), headers=headers)
    return {reason: own for reason in REFUSALS if REFUSALS[reason].status == 503}
