"""Options that several commands share: -c, --json, --admin."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
from click.shell_completion import CompletionItem

DEFAULT_CONFIG = Path("/etc/ingestd/ingestd.toml")

config_option = click.option(
    "-c", "--config", "config_path", type=click.Path(path_type=Path), default=DEFAULT_CONFIG,
    show_default=True, envvar="INGESTD_CONFIG", show_envvar=True, help="The configuration file (TOML).",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a script.")
admin_option = click.option(
    "--admin", "admins", multiple=True, metavar="ADDRESS",
    help="Admin listener of an instance, or of several: tcp:127.0.0.1:9401-9404. May be repeated. "
    "Default: admin.listen of the configuration.",
)  # fmt: skip


def complete_source(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of the configured sources that begin as typed; none if the configuration cannot be read."""
    try:
        tree = tomllib.loads(Path(ctx.params["config_path"]).read_text("utf-8"))
        names = [str(source["name"]) for source in tree["source"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
