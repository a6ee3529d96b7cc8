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
from ingestd.cli.options import admin_option, config_option


@click.command("tail")
@config_option
@admin_option
@click.option("--source", help="Only of this source.")
@click.option("--flag", "flags", multiple=True, help="Only with this flag: macro, macro:imei, stale, ...")
@click.option("--param", "params", multiple=True, help="Only with this parameter: NAME or NAME=VALUE.")
@click.option("-n", "--count", type=click.IntRange(1), help="So many events; default until Ctrl-C.")
@click.option("--json", "whole", is_flag=True, help="Whole events, for a script.")
def command(
    config_path: Path, admins: tuple[str, ...], source: str | None, flags: tuple[str, ...],
    params: tuple[str, ...], count: int | None, whole: bool,
) -> None:  # fmt: skip
    """Follow events as they are stored.

    What is as good as a password is masked. The daemon gives a hundredth of its time to each reader: past
    that it leaves events out and says how many. It looks for --source, --flag and --param before, so what
    they ask for is seen however much else comes.

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
    """Print events until `count` were shown. Raises IngestdError when no instance is left."""
    asked = [("source", source)] if source else []
    asked += [("flag", flag) for flag in flags] + [("param", param) for param in params]
    shown = 0
    for event in admin_client.follow_all(addresses, f"?{urlencode(asked)}"):
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
