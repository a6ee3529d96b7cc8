"""One request, and everything that would become of it: for `ingestd explain` and the status page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from ingestd.admin import redaction
from ingestd.config.source import BY_HEADER
from ingestd.errors import RequestRefusedError
from ingestd.http.request import Exchange, Request
from ingestd.http.responses import REFUSALS, Reply
from ingestd.sources import factory, macros, null_values, query
from ingestd.sources.link_parts import near_source
from ingestd.sources.router import Router
from ingestd.sources.source import Source

CLIENT = "192.0.2.1"  # for documentation (RFC 5737); give another with -H 'X-Real-IP: ...'
# Of the paths that there are, so many are named to somebody who asked for another.
NAMED_PATHS = 20


def explain(router: Router, request: Request, *, show_secrets: bool = False) -> dict[str, Any]:
    """The source, events, flags, signature and reply of a request; or `refused`, the reason, and `why`.

    The router's sources count what they are asked here: they must not be those of a running daemon.
    """
    source = router.route(request)
    if source is None:
        path = request.target.partition(b"?")[0].decode("latin-1")
        return refused("not_found", f"no source takes {path}; {_known(router, path)}")
    if request.method not in source.methods:
        takes = ", ".join(source.config.methods)
        return refused("method", f"source {source.name} takes {takes}")
    request.client_ip = request.header(b"X-Real-IP").decode("latin-1") or CLIENT
    request.received_ns = time.time_ns()
    return _event_of(source, request, show_secrets=show_secrets)


def refused(reason: str, why: str) -> dict[str, Any]:
    """The finding for a request that becomes no event: its reason, status and `why`."""
    return {"refused": reason, "status": REFUSALS[reason].status, "why": why}


def _known(router: Router, path: str) -> str:
    near = near_source(path, [source.config for source in router.sources])
    if near is not None:
        return f"did you mean {near.path} (source {near.name})?"
    paths = [source.config.path for source in router.sources]
    more = f" and {len(paths) - NAMED_PATHS} more" if len(paths) > NAMED_PATHS else ""
    return "there are " + ", ".join(paths[:NAMED_PATHS]) + more


def _event_of(source: Source, request: Request, *, show_secrets: bool) -> dict[str, Any]:
    raw = request.query
    hidden = frozenset() if show_secrets else redaction.names(source.config)
    found: dict[str, Any] = {
        "source": source.name,
        "path": source.config.path,
        "profile": source.config.profile,
        "query_bytes": len(raw),
        "signature": _signature(source, request, hidden),
    }
    exchange = Exchange()
    try:
        source.take(request, exchange)
    except RequestRefusedError as error:
        return found | refused(error.reason, REFUSALS[error.reason].text)
    events = [orjson.loads(line) for line in exchange.data.splitlines()]
    found["reply"] = _reply(exchange.replies.stored)
    found["route"] = events[0]["route"]
    came = query.decode(raw).params
    found["events"] = [
        _event(source, event, number, exchange.keys, hidden)
        | {"dropped": [name for name in came if name not in event["params"]]}
        for number, event in enumerate(events)
    ]
    return found


def _reply(reply: Reply) -> dict[str, Any]:
    head, _, body = reply.keep.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
    return {
        "status": reply.status,
        "content_type": fields.get("Content-Type", ""),
        "location": fields.get("Location", ""),
        "body": body.decode("latin-1"),
    }


def _signature(source: Source, request: Request, hidden: frozenset[str]) -> dict[str, Any]:
    """What was compared with what, and which key fits; never the key, nor what it would have made."""
    settings = source.config.signature
    verifier = source.verifier
    if source.public_key is not None:
        result, key_id = source.public_key.verdict(request)
        fits = key_id or "none fits"
        return {"kind": settings.kind, "result": result, "key": fits, "over": source.public_key.over}
    if verifier is None:
        return {"kind": settings.kind, "result": "none", "why": _why_none(source)}
    found: dict[str, Any] = {"kind": settings.kind, "result": verifier.check(request)}
    signed = verifier.signed(request)
    if signed is None:
        return found
    number = verifier.key_number(signed)
    keys = factory.read_keys(source.config, [])
    found["key"] = f"{number + 1} of {len(keys)} ({keys[number].origin})" if number >= 0 else "none fits"
    if signed.given is None:
        found["why"] = f"{settings.param} is not the last parameter"
    elif settings.kind in BY_HEADER:
        found["over"] = f"the body, {len(signed.content)} bytes"
    elif settings.kind == "md5_concat":
        found["over"] = f"the values of {' + '.join(settings.params)} + the key"
    elif settings.kind != "token":
        address, question, rest = signed.content.partition(b"?")
        found["over"] = (address + question + redaction.mask_query(rest, hidden)).decode("latin-1")
        if settings.kind == "md5_url_key":
            found["over"] += " + the key"
    return found


def _why_none(source: Source) -> str:
    none = source.config.signature.kind == "none"
    return "the source has no signature" if none else "nothing is verified without signature.key_file"


def _event(
    source: Source,
    event: dict[str, Any],
    number: int,
    partition_keys: Sequence[bytes | None] | None,
    hidden: frozenset[str],
) -> dict[str, Any]:
    settings = source.config
    body = event.get("body")
    keys = body if isinstance(body, dict) else {}
    params = event["params"]
    if source.public_key is not None:
        keys = source.public_key.signed(keys)
        params = source.public_key.beside(params, keys)

    def value_of(name: str) -> Any:
        return params.get(name, keys.get(name))

    click_id = next((one for one in settings.dedup if null_values.real(value_of(one.split("+")[0]))), None)
    key: dict[str, Any] = {"value": event["dup_key"], "from": "dup_key"}
    if partition_keys is not None:
        chosen = partition_keys[number]
        name = next((one for one in settings.key if null_values.real(value_of(one))), None)
        shown = None if chosen is None else redaction.MASK if str(name).lower() in hidden else chosen.decode()
        key = {"value": shown, "from": name or "no real value: no key, any partition"}
    everything = {**keys, **params}
    return {
        "parameters": {
            name: {"value": value, "notes": _notes(source, name, everything[name])}
            for name, value in redaction.mask_event({"params": everything}, hidden)["params"].items()
        },
        "event_at": _moment(event["event_at"]),
        "dup_key": {"value": event["dup_key"], "from": click_id or _whole(source)},
        "kafka_key": key,
        "flags": event["flags"],
        "event": redaction.mask_event(event, hidden),
    }


def _whole(source: Source) -> str:
    volatile = source.config.volatile
    return "the whole request" + (f" but {', '.join(volatile)}" if volatile else "")


def _moment(event_at: int | None) -> str | None:
    if event_at is None:
        return None
    return datetime.fromtimestamp(event_at / 1000, UTC).isoformat(timespec="milliseconds")


def _notes(source: Source, name: str, value: Any) -> list[str]:
    """What a parameter is to its source, and what became of it."""
    settings = source.config
    time_param = settings.event_time.param if settings.event_time else None
    notes = [
        text
        for text, applies in (
            ("event time", name == time_param),
            ("click id", any(name in one.split("+") for one in settings.dedup)),
            ("Kafka key", name in settings.key),
            ("user's address", name == settings.ip_param),
            ("user agent", name == settings.ua_param),
            ("signature", settings.signature.kind != "none" and name == settings.signature.param),
            (f"privacy: {settings.privacy.get(name)}", name in settings.privacy),
            ("credential", name in settings.credentials),
        )
        if applies
    ]
    first = value[0] if isinstance(value, list) and value else value
    if macros.is_macro(first):
        notes.append("macro left in")
    elif null_values.real(first) is None and not isinstance(first, dict | float):
        notes.append("says nothing")
    if isinstance(value, list):
        notes.append(f"{len(value)} values")
    return notes
