"""Prints what `explain` found for people: one thing a line, and the event last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import orjson

LABEL = 11  # columns
VALUE = 60  # characters of a value; the event below has it whole


def show(found: dict[str, Any], link_faults: Sequence[str]) -> None:
    """Print the finding of `explanation.explain`, and the faults of the request's link, a line each."""
    if "source" in found:
        _row("source", f"{found['source']} (path {found['path']}, profile {found['profile']})")
    if "refused" in found:
        if found.get("signature", {}).get("result", "none") != "none":
            _signature(found["signature"])
        _row("refused", f"{found['status']} ({found['refused']}): {found['why']}")
        _link(link_faults)
        return
    _row("route", found["route"] or "-")
    _row("query", f"{found['query_bytes']} bytes")
    _signature(found["signature"])
    reply = found["reply"]
    _row(
        "reply",
        f"{reply['status']} {reply['location'] or repr(reply['body'])} {reply['content_type']}".rstrip(),
    )
    _link(link_faults)
    for event in found["events"]:
        _event(event)


def _event(event: dict[str, Any]) -> None:
    _row("event time", event["event_at"] or "-")
    _row("dup key", f"{event['dup_key']['value']} from {event['dup_key']['from']}")
    key = event["kafka_key"]
    _row("kafka key", key["from"] if key["value"] is None else f"{key['value']} from {key['from']}")
    _row("flags", ", ".join(event["flags"]) or "-")
    _parameters(event)
    click.echo(orjson.dumps(event["event"], option=orjson.OPT_INDENT_2))


def _parameters(event: dict[str, Any]) -> None:
    rows = [
        (name, _short(one["value"]), ", ".join(one["notes"])) for name, one in event["parameters"].items()
    ]
    rows += [(name, "", "dropped") for name in event["dropped"]]
    if not rows:
        return
    names, shown = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    click.echo("parameters")
    for name, value, notes in rows:
        click.echo(f"  {name:<{names}}  {value:<{shown}}  {notes}".rstrip())


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= VALUE else f"{text[: VALUE - 1]}…"


def _signature(signature: dict[str, Any]) -> None:
    text = signature["result"]
    if signature["kind"] != "none":
        text += f", {signature['kind']}"
    if "key" in signature:
        text += f", key {signature['key']}"
    if "why" in signature:
        text += f": {signature['why']}"
    _row("signature", text)
    if "over" in signature:
        _row("", f"over {signature['over']}")


def _link(faults: Sequence[str]) -> None:
    for number, fault in enumerate(faults):
        _row("" if number else "link", fault)


def _row(label: str, text: str) -> None:
    click.echo(f"{label:<{LABEL}}{text}")
