"""`ingestd tail`: events as they are stored."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import orjson

from ingestd.commands import asking


def run(
    config_path: Path, admins: tuple[str, ...], source: str | None, flags: tuple[str, ...],
    params: tuple[str, ...], count: int | None, *, whole: bool,
) -> int:  # fmt: skip
    """Print events until interrupted, or until `count` were shown. Raises IngestdError: no instance left."""
    asked = [("source", source)] if source else []
    asked += [("flag", flag) for flag in flags] + [("param", param) for param in params]
    shown = 0
    for event in asking.follow_all(asking.addresses(config_path, admins), f"?{urlencode(asked)}"):
        if "gone" in event:
            click.echo(f"... {event['gone']}", err=True)
            continue
        if "missed" in event:
            click.echo(
                f"... {event['missed']} events not shown: more came than one reader is given", err=True
            )
            continue
        if not matches(event, flags, params):
            continue
        click.echo(orjson.dumps(event) if whole else brief(event))
        shown += 1
        if count is not None and shown >= count:
            break
    return 0


def matches(event: dict[str, Any], flags: tuple[str, ...], params: tuple[str, ...]) -> bool:
    """Whether an event has every flag (`macro`: any `macro:...`) and parameter (`name` or `name=value`)."""
    has = event["flags"]
    if not all(any(one == flag or one.startswith(f"{flag}:") for one in has) for flag in flags):
        return False
    for wanted in params:
        name, equals, value = wanted.partition("=")
        found = event["params"].get(name)
        if found is None or (equals and value not in (found if isinstance(found, list) else [found])):
            return False
    return True


def brief(event: dict[str, Any]) -> str:
    """One line a person can read."""
    params = " ".join(f"{name}={value}" for name, value in event["params"].items())
    text = params if params else "" if "body" not in event else str(event["body"])
    flags = f" [{' '.join(event['flags'])}]" if event["flags"] else ""
    seconds, milliseconds = divmod(event["received_at"], 1000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    origin = f"{event['source']}/{event['route']} {event['client_ip']}"
    line = f"{moment}.{milliseconds:03d}Z {origin}{flags} {text}"
    return "".join(character if character.isprintable() else "?" for character in line)[:500]
