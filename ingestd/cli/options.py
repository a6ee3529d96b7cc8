"""Options that many commands have."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "-c", "--config", "config_path", type=click.Path(path_type=Path),
    default=Path("/etc/ingestd/ingestd.toml"), show_default=True, help="The configuration file (TOML).",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a script.")
admin_option = click.option(
    "--admin", "admins", multiple=True, metavar="ADDRESS",
    help="An instance's admin listener, or several: tcp:127.0.0.1:9401-9404; may be repeated.",
)  # fmt: skip
