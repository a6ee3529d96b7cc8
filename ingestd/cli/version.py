"""`ingestd version`."""

from __future__ import annotations

import platform
from importlib import metadata
from importlib.util import find_spec

import click
import orjson

from ingestd import __version__
from ingestd.cli.options import json_option

# Each has its equal in Python, at several times the cost.
COMPILED = (
    "ingestd._hot__mypyc",
    "ingestd._tally",
    "ingestd.http._head",
    "ingestd.kafka._packer",
    "ingestd.sources._line",
    "ingestd.sources._scan",
)
LIBRARIES = ("uvloop", "httptools", "orjson", "aiokafka")


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the versions of ingestd and its libraries.

    \b
    Example:
      ingestd version --json
    """
    found = versions()
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        others = ", ".join(f"{name} {value}" for name, value in found.items() if name != "ingestd")
        click.echo(f"ingestd {__version__} ({others})")


def versions() -> dict[str, str]:
    """Each version by its name; `compiled`: "yes", or which extensions are missing."""
    found = {"ingestd": __version__, "python": platform.python_version()}
    found |= {name: metadata.version(name) for name in LIBRARIES}
    missing = [name.rpartition(".")[2] for name in COMPILED if find_spec(name) is None]
    again = f"not {', '.join(missing)}, slower: install a C compiler and ingestd again"
    found["compiled"] = again if missing else "yes"
    return found
