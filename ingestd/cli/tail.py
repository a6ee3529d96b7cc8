"""`ingestd tail`: events as they are stored."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import orjson

from ingestd.cli import admin_client
from ingestd.cli.options import admin_option, complete_source, config_option

# Characters shown of a parameter's value, and of a body.
VALUE, BODY = 60, 400


@click.command("tail")
@config_option
@admin_option
@click.option("--source", shell_complete=complete_source, help="Only events of this source.")
@click.option(
    "--flag", "flags", multiple=True, help="Only events with this flag: macro, macro:imei, stale, ..."
)
@click.option("--param", "params", multiple=True, help="Only events with this parameter: NAME or NAME=VALUE.")
@click.option(
    "-n", "--count", type=click.IntRange(1), help="Stop after this many events; default: at Ctrl-C."
)
@click.option("--json", "whole", is_flag=True, help="Print whole events, for a script.")
def command(
    config_path: Path, admins: tuple[str, ...], source: str | None, flags: tuple[str, ...],
    params: tuple[str, ...], count: int | None, whole: bool,
) -> None:  # fmt: skip
    """Follow events as they are stored.

    Credentials are masked. A value of more than 60 characters is cut and followed by the number of characters
    left out, (+98); --json prints all of it. The daemon spends at most a hundredth of its time on each
    subscriber and reports how many events it left out. --source, --flag and --param are applied before that
    limit, so a rare event is shown however many others arrive.

    \b
    Example:
      ingestd tail --source ocean --flag macro
      ingestd tail --param click_id=24oi6xq2aaakvagnqu7a --json -n 1
    """
    with contextlib.suppress(KeyboardInterrupt):
        follow(admin_client.addresses(config_path, admins), source, flags, params, count, whole=whole)


def follow(
    addresses: Sequence[str], source: str | None, flags: tuple[str, ...], params: tuple[str, ...],
    count: int | None, *, whole: bool,
) -> None:  # fmt: skip
    """Print events until `count` were shown, or for ever. Raises IngestdError when every instance is gone."""
    asked = [("source", source)] if source else []
    asked += [("flag", flag) for flag in flags] + [("param", param) for param in params]
    shown = 0
    for event in admin_client.follow_all(addresses, f"?{urlencode(asked)}"):
        if "gone" in event:
            click.echo(f"... {event['gone']}", err=True)
            continue
        if "missed" in event:
            click.echo(f"... {event['missed']} events left out: too many for one subscriber", err=True)
            continue
        if not matches(event, flags, params):
            continue
        click.echo(orjson.dumps(event) if whole else brief(event))
        shown += 1
        if count is not None and shown >= count:
            break


def matches(event: dict[str, Any], flags: tuple[str, ...], params: tuple[str, ...]) -> bool:
    """Whether an event has every flag (`macro`: any `macro:...`) and parameter (`NAME` or `NAME=VALUE`)."""
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
    """One line for people: time, source and route, client, flags, then every parameter or else the body.

    A value longer than VALUE characters is cut and followed by how many are left out: `ua=Mozilla...(+98)`.
    """
    text = " ".join(
        f"{name}={_short(value, VALUE)}"
        for name, values in event["params"].items()
        for value in (values if isinstance(values, list) else [values])
    )
    if not text and "body" in event:
        text = _short(event["body"], BODY)
    flags = f" [{' '.join(event['flags'])}]" if event["flags"] else ""
    seconds, milliseconds = divmod(event["received_at"], 1000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    origin = f"{event['source']}/{event['route']} {event['client_ip'] or '-'}"
    line = f"{moment}.{milliseconds:03d}Z {origin}{flags} {text}"
    return "".join(character if character.isprintable() else "?" for character in line)


def _short(value: Any, limit: int) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= limit else f"{text[:limit]}...(+{len(text) - limit})"
