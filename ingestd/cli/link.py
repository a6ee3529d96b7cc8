"""`ingestd link`: is a tracking link right for its platform?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import orjson

from ingestd import config
from ingestd.cli.options import complete_source, config_option, json_option
from ingestd.config.messages import nearest
from ingestd.config.source import SourceConfig
from ingestd.errors import IngestdError
from ingestd.sources.link_faults import LinkFault, corrected, judge
from ingestd.sources.link_parts import near_source, source_of

SHOWN = 60  # characters of the text a fault is about


@click.command("link")
@config_option
@click.argument("url")
@click.option(
    "--source", "name", shell_complete=complete_source,
    help="The source the link is for. Default: the one that takes its path.",
)  # fmt: skip
@json_option
def command(config_path: Path, url: str, name: str | None, as_json: bool) -> int:
    """Check a tracking link: is it right for its platform?

    Every fault is named with its place and the text that belongs there: a missing parameter, a misspelt
    macro or another platform's, http for https, a wrong domain or path, and what chat programs make of & and
    spaces. The corrected link follows. Quote the URL for the shell. `ingestd sources --links` prints the
    links that are right.

    \b
    Exit status: 0 the link is right, 1 it is not.

    \b
    Example:
      ingestd link 'https://click.example.com/c/ocean/app42?callback_param=_CALLBACK_PARAM_' --source ocean
    """
    settings = config.load(config_path)
    source = _source(settings, url, name)
    base = source.signature.public_base or settings.ingest.public_base
    faults = judge(url, source, base)
    right = corrected(url, source, base)
    sound = not any(fault.certain for fault in faults)
    if as_json:
        tree = {"source": source.name, "ok": sound, "faults": as_trees(url, faults), "corrected": right}
        click.echo(orjson.dumps(tree, option=orjson.OPT_INDENT_2))
    else:
        _show(url, source, faults, right)
    return 0 if sound else 1


def _source(settings: config.Config, url: str, name: str | None) -> SourceConfig:
    if name is None:
        source = source_of(url, settings.source) or near_source(url, settings.source)
        if source is None:
            raise IngestdError("no source has a path like that; name the source with --source")
        return source
    known = {source.name: source for source in settings.source}
    if name not in known:
        raise IngestdError(f"--source {name}: there is no such source; {nearest(name, known)}")
    return known[name]


def _show(url: str, source: SourceConfig, faults: Sequence[LinkFault], right: str | None) -> None:
    title = f"{source.name} ({source.title})" if source.title else source.name
    certain = sum(fault.certain for fault in faults)
    click.echo(f"{title}: " + (f"{certain} fault{'s' * (certain != 1)}" if certain else "the link is right"))
    for fault in faults:
        click.echo(f"  {described(url, fault)}")
    if certain:
        click.echo("Correct it by hand." if right is None else f"Corrected:\n  {right}")
    if source.link_notes:
        click.echo("Not checked, known of the platform:")
        for note in source.link_notes:
            click.echo(f"  - {note}")


def described(link: str, fault: LinkFault) -> str:
    """A fault in one line: its place, what is wrong, what to write."""
    place = "at the end" if fault.start == len(link) else f"character {fault.start + 1}"
    text = _text(link, fault)
    about = f", {text if len(text) <= SHOWN else text[:SHOWN] + '...'}" if text else ""
    line = f"{place}{about}: {fault.what}" + ("" if fault.certain else " (it may be right)")
    if fault.kind == "last":
        return line
    if fault.append:
        return f"{line}; add {fault.append}"
    if fault.write is None:
        return line
    return f"{line}; write {fault.write}" if fault.write else f"{line}; leave it out"


def as_trees(link: str, faults: Sequence[LinkFault]) -> list[dict[str, Any]]:
    """Faults for a script. `at`: characters from the beginning; `write`: null where a person must decide."""
    return [
        {
            "kind": fault.kind, "at": fault.start, "text": _text(link, fault), "param": fault.param,
            "what": fault.what, "write": fault.write, "certain": fault.certain,
            "add": "" if fault.kind == "last" else fault.append,
        }
        for fault in faults
    ]  # fmt: skip


def _text(link: str, fault: LinkFault) -> str:
    """What the fault is about; without the value where that may be a real signature or click id."""
    return fault.param if fault.kind in ("repeated", "last") else link[fault.start : fault.end]
