"""`ingestd init`: from nothing to a configuration, its tracking links and the next commands."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import click

from ingestd import config
from ingestd.cli import EX_CONFIG, check
from ingestd.cli.init_text import Plan, configuration
from ingestd.config.messages import nearest
from ingestd.config.profiles import Profiles
from ingestd.errors import ConfigError, IngestdError, Problem
from ingestd.sources import links
from ingestd.system import durable

HOST = Path("/etc/ingestd")  # the configuration of the installed service
NAME = "ingestd.toml"
ADMIN = "tcp:127.0.0.1:9401"


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option(
    "--source", "sources", multiple=True, metavar="PROFILE|NAME=PROFILE",
    help="A platform (`ingestd init --list` names the profiles); may be repeated. Default: generic.",
)  # fmt: skip
@click.option("--base", default="", metavar="URL", help="The scheme and host that platforms call.")
@click.option(
    "--kafka", "bootstrap", multiple=True, metavar="HOST:PORT", help="Send to Kafka; may be repeated."
)
@click.option("--topic", default="clicks", show_default=True, help="With --kafka: the topic.")
@click.option("--files/--no-files", default=None, help="Write files. Default: unless --kafka is given.")
@click.option("--list", "show_profiles", is_flag=True, help="List the profiles and end.")
@click.option("--force", is_flag=True, help="Replace a configuration that exists; it is kept as FILE.old.")
@click.option("--ask/--no-ask", default=None, help="Ask for what is not given. Default: on a terminal.")
def command(
    directory: Path, sources: tuple[str, ...], base: str, bootstrap: tuple[str, ...], topic: str,
    files: bool | None, show_profiles: bool, force: bool, ask: bool | None,
) -> int:  # fmt: skip
    """Write a first configuration and print the tracking links.

    DIRECTORY gets ingestd.toml and secrets/, for keys and passwords. In /etc/ingestd it is that of the
    installed service, with its socket and /var/lib/ingestd; elsewhere one to try out, on port 8080, with its
    files in DIRECTORY/var. The configuration is checked; the links and the next commands follow.

    \b
    Example:
      ingestd init try --source ocean --source kuaishou --base https://click.example.com
      ingestd init /etc/ingestd --source ocean --kafka kafka1:9092 --kafka kafka2:9092
    """
    profiles = Profiles()
    if show_profiles:
        for name in profiles.names:
            click.echo(f"{name:<20}{profiles.load(name).get('title', '')}")
        return 0
    path = directory / NAME
    if path.exists() and not force:
        raise IngestdError(f"{path} exists; --force replaces it and keeps {path}.old")
    if ask if ask is not None else sys.stdin.isatty():
        sources = sources or _asked_sources(profiles.names)
        base = base or click.prompt(
            "Scheme and host that platforms call", default="https://click.example.com"
        )
        if not bootstrap and files is None:
            asked = click.prompt("Kafka brokers, HOST:PORT (empty: files)", default="", show_default=False)
            bootstrap = tuple(asked.replace(",", " ").split())
    plan = _plan(directory.absolute(), [_named(one, profiles.names) for one in sources or ("generic",)],
                 base, bootstrap, topic, files=not bootstrap if files is None else files)  # fmt: skip
    _write(path, plan)
    return _show(path, plan)


def _asked_sources(known: Sequence[str]) -> tuple[str, ...]:
    click.echo(f"Profiles: {', '.join(known)}")
    return tuple(click.prompt("Platforms, separated by spaces", default="generic").replace(",", " ").split())


def _named(text: str, known: Sequence[str]) -> tuple[str, str]:
    """A source's name and profile. Raises IngestdError for an unknown profile."""
    name, equals, profile = text.partition("=")
    profile = profile if equals else name
    if profile not in known:
        raise IngestdError(f"--source {text}: unknown profile {profile!r}; {nearest(profile, known)}")
    return name, profile


def _plan(
    directory: Path, sources: Sequence[tuple[str, str]], base: str, bootstrap: Sequence[str], topic: str, *,
    files: bool,
) -> Plan:  # fmt: skip
    on_host = directory == HOST
    listen = "unix:/run/ingestd/ingestd.sock" if on_host else "tcp:127.0.0.1:8080"
    state = Path("/var/lib/ingestd") if on_host else directory / "var"
    return Plan(listen, ADMIN, base.rstrip("/"), state, sources, files, bootstrap, topic)


def _write(path: Path, plan: Plan) -> None:
    """Write the configuration and the directory of secrets. Raises ConfigError, IngestdError."""
    text = configuration(plan)
    _validate(text, path)
    secrets = path.parent / "secrets"
    try:
        durable.make_directory(path.parent)
        if not secrets.exists():
            secrets.mkdir(0o700)
        if path.exists():
            durable.atomic_write(path.with_name(f"{path.name}.old"), path.read_bytes(), 0o644)
        durable.atomic_write(path, text.encode(), 0o644)
    except OSError as error:
        raise IngestdError(f"{error.filename or path}: {error.strerror}") from error
    click.echo(f"{path}: written\n{secrets}: for keys and passwords")


def _validate(text: str, path: Path) -> None:
    """Raise ConfigError for values that the options gave, before anything is written."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [Problem("TOML", str(error))]) from error
    config.parse(tree, str(path), {})


def _show(path: Path, plan: Plan) -> int:
    report = check.examine(path)
    check.show(path, report, unconfirmed=False)
    if report.settings is None:
        return EX_CONFIG
    click.echo("\nTracking links, for the platforms' consoles:")
    base = plan.base or "https://click.example.com"
    for source in report.settings.source:
        click.echo(f"  {source.name}: {links.link(source, base, 'app42')}")
    click.echo("\nNext:")
    for line in _next(path, plan):
        click.echo(f"  {line}")
    return EX_CONFIG if report.problems else 0


def _next(path: Path, plan: Plan) -> list[str]:
    if path.parent.absolute() == HOST:
        return [
            "ingestd install-units                   # units, user, directories, nginx's site",
            "ingestd nginx -o /etc/nginx/ingestd     # nginx's replies and limits for these sources",
            "ingestd check --unit ingestd            # as the service will run",
        ]
    first = plan.sources[0][0]
    return [
        f"ingestd serve -c {path}",
        f"ingestd tail -c {path} --source {first}     # in a second terminal: events as they arrive",
        f"ingestd send -c {path} --source {first} -n 1",
    ]
