"""The command line."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from ingestd import __version__
from ingestd.errors import ConfigError, IngestdError

EX_CONFIG = 78  # sysexits.h: a supervisor should not try again by itself

config_option = click.option(
    "-c", "--config", "config_path", type=click.Path(path_type=Path),
    default=Path("/etc/ingestd/ingestd.toml"), show_default=True, help="The configuration file (TOML).",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a script.")


class Failing(click.Group):
    """Ends with a message and a fixed status, not a traceback, where an error was foreseen."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(f"{error.origin}: {problem}", err=True)
            sys.exit(EX_CONFIG)
        except IngestdError as error:
            click.echo(f"ingestd: {error}", err=True)
            sys.exit(1)


@click.group(cls=Failing, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Takes ad platforms' click callbacks and answers only when the click is on disk.

    \b
    Example:
      ingestd serve -c conf/quickstart.toml
      ingestd send -c conf/quickstart.toml
    """


@main.command()
@config_option
def serve(config_path: Path) -> None:
    """Run the daemon.

    \b
    Signals: TERM, INT  answer what is under way, store everything, stop
             HUP        read the sources anew; a wrong file changes nothing
             USR1       finish the present file
    Exit status: 0 stopped in order, 1 could not start or not everything was stored, 78 wrong configuration.

    \b
    Example:
      ingestd serve -c conf/quickstart.toml
    """
    from ingestd.commands.serve import run

    sys.exit(run(config_path))


@main.command()
@config_option
@json_option
def check(config_path: Path, as_json: bool) -> None:
    """Say whether the configuration can be used, here and now, and what to write where it cannot.

    \b
    Example:
      ingestd check -c /etc/ingestd/ingestd.toml
    """
    from ingestd.commands.check import run

    sys.exit(run(config_path, as_json=as_json))


@main.command()
@config_option
@click.argument("url_or_file")
@click.option("--post", metavar="TEXT|@FILE", help="As a POST with this body (@- reads standard input).")
@click.option("--content-type", default="application/x-www-form-urlencoded", show_default=True)
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header.")
@click.option("--show-secrets", is_flag=True, help="Do not mask callback credentials and signatures.")
@json_option
def explain(
    config_path: Path,
    url_or_file: str,
    post: str | None,
    content_type: str,
    headers: tuple[str, ...],
    show_secrets: bool,
    as_json: bool,
) -> None:
    """Show what becomes of one request, and why: source, parameters, signature, keys, flags, reply.

    URL_OR_FILE is a URL, a path, or a file with one (or `-`), or a file with a whole request as it was sent.
    Nothing is stored.

    \b
    Example:
      ingestd explain -c conf/quickstart.toml 'https://click.example.com/c/demo/app42?imei=__IMEI__&ts=1718000000123'
      ingestd explain -c /etc/ingestd/ingestd.toml captured-request.txt
    """
    from ingestd.commands.explain import run

    sys.exit(
        run(
            config_path,
            url_or_file,
            post,
            content_type,
            headers,
            as_json=as_json,
            show_secrets=show_secrets,
        )
    )


@main.command()
@config_option
@click.option(
    "--to",
    "target",
    help="Where to: unix:PATH, tcp:HOST:PORT or http://HOST:PORT. Default: the config's listener.",
)
@click.option(
    "-n", "--count", type=click.IntRange(1), default=100, show_default=True, help="Requests in all."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second; default as fast as it answers.",
)
@click.option("--connections", type=click.IntRange(1, 1000), default=8, show_default=True)
@click.option("--source", help="Only to this source; default the sources in turn.")
def send(
    config_path: Path,
    target: str | None,
    count: int,
    rate: float | None,
    connections: int,
    source: str | None,
) -> None:
    """Send real example callbacks to a running instance and say how they were answered.

    \b
    Example:
      ingestd send -c conf/quickstart.toml -n 1000
      ingestd send -c /etc/ingestd/ingestd.toml --to http://127.0.0.1:80 -n 20
    """
    from ingestd.commands.send import run

    sys.exit(run(config_path, target, count, rate, connections, source))


@main.command()
def schema() -> None:
    """Print the event's JSON Schema.

    \b
    Example:
      ingestd schema > event.schema.json
    """
    from ingestd.commands.show import print_schema

    print_schema()


@main.command()
@config_option
@click.option("--links", is_flag=True, help="The tracking link to paste into each platform's console.")
@click.option(
    "--base", metavar="URL", help="Scheme and host of the links; default the config's ingest.public_base."
)
@click.option("--route", default="", help="What follows the source's path in the links: an app, a campaign.")
@click.option("--show-secrets", is_flag=True, help="Put the real tokens into the links.")
@json_option
def sources(
    config_path: Path, links: bool, base: str | None, route: str, show_secrets: bool, as_json: bool
) -> None:
    """List the configured sources: name, path, profile, type, reply; or the link of each.

    \b
    Example:
      ingestd sources -c /etc/ingestd/ingestd.toml
      ingestd sources -c /etc/ingestd/ingestd.toml --links --base https://click.example.com --route app42
    """
    from ingestd.commands import show

    if links:
        show.print_links(config_path, base, route, show_secrets=show_secrets, as_json=as_json)
    else:
        show.print_sources(config_path, as_json=as_json)


@main.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version, and those of the libraries the speed depends on.

    \b
    Example:
      ingestd version --json
    """
    from ingestd.commands.show import print_version

    print_version(__version__, as_json=as_json)


@main.group("spool")
def spool_group() -> None:
    """Look at what waits on disk for Kafka, of a running instance or a stopped one.

    \b
    Example:
      ingestd spool ls -c /etc/ingestd/ingestd.toml
      ingestd spool verify
    """


instance_option = click.option("--instance", help="Only this instance's spool; default all.")


@spool_group.command("ls")
@config_option
@instance_option
@json_option
def spool_ls(config_path: Path, instance: str | None, as_json: bool) -> None:
    """List the segments: frames, bytes, times, the share that is delivered.

    \b
    Example:
      ingestd spool ls -c /etc/ingestd/ingestd.toml
    """
    from ingestd.commands.spool import ls

    sys.exit(ls(config_path, instance, as_json=as_json))


@spool_group.command("verify")
@config_option
@instance_option
@json_option
def spool_verify(config_path: Path, instance: str | None, as_json: bool) -> None:
    """Check every byte; name each damage by file and place. Exit status 1 where there is any.

    \b
    Example:
      ingestd spool verify -c /etc/ingestd/ingestd.toml
    """
    from ingestd.commands.spool import verify

    sys.exit(verify(config_path, instance, as_json=as_json))


@spool_group.command("export")
@config_option
@instance_option
@click.option("-o", "--output", default="-", show_default=True, help="A file; - is standard output.")
def spool_export(config_path: Path, instance: str | None, output: str) -> None:
    """Write the events that are not delivered yet as NDJSON, past any damage.

    \b
    Example:
      ingestd spool export -c /etc/ingestd/ingestd.toml -o undelivered.ndjson
    """
    from ingestd.commands.spool import export

    sys.exit(export(config_path, instance, output))


@main.command()
@config_option
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Where to keep how far it got; default ./replay.checkpoint.",
)
@click.option("--dry-run", is_flag=True, help="Read and count, send nothing.")
@click.option(
    "--from", "origin", type=click.Choice(["files", "nginx-spill"]), default="files", show_default=True,
    help="What the inputs are: events, or requests nginx answered while no instance did.",
)  # fmt: skip
def replay(
    config_path: Path, inputs: tuple[Path, ...], checkpoint: Path | None, dry_run: bool, origin: str
) -> None:
    """Send what is on disk already to Kafka: finished files (plain, .gz, .zst), dead letters, spools.

    INPUTS are files or directories; default the configured file directory. Stopped and run again with the
    same checkpoint it goes on where it was. Exit status 1 where something was refused or is no event.

    With `--from nginx-spill` the inputs are nginx' spill logs: each request becomes the events it would have
    been, flagged `spilled`, in Kafka or, without [kafka], in finished files of the file directory. Lines that
    cannot be used are set aside in FILE.bad.

    \b
    Example:
      ingestd replay -c /etc/ingestd/ingestd.toml --dry-run
      ingestd replay -c /etc/ingestd/ingestd.toml /var/lib/ingestd/dead
      ingestd replay --from nginx-spill /var/log/nginx/ingestd.spill.1
    """
    if origin == "nginx-spill":
        from ingestd.commands.spill import run as run_spill

        sys.exit(run_spill(config_path, inputs, checkpoint, dry_run=dry_run))
    from ingestd.commands.replay import run

    sys.exit(run(config_path, inputs, checkpoint, dry_run=dry_run))


@main.command()
@config_option
@click.option(
    "-o", "--output", "directory", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Write http.conf and server.conf into this directory; default print them.",
)  # fmt: skip
@click.option("--spill", default="/var/log/nginx/ingestd.spill", show_default=True, help="The spill log.")
@click.option(
    "--rate", type=click.IntRange(1), default=20_000, show_default=True,
    help="Requests a second nginx lets through to one source; a second's worth may come at once.",
)  # fmt: skip
@click.option(
    "--requests", type=click.IntRange(1), default=4096, show_default=True,
    help="Requests of one source that may be under way at the same time.",
)  # fmt: skip
def nginx(config_path: Path, directory: Path | None, spill: str, rate: int, requests: int) -> None:
    """Make what nginx needs to know of the sources: replies where no instance answers, limits, spill log.

    \b
    Example:
      ingestd nginx -c /etc/ingestd/ingestd.toml -o /etc/nginx/ingestd
    """
    from ingestd.commands.nginx import run

    sys.exit(run(config_path, directory, spill, rate, requests))


@main.command()
@config_option
@click.option("--admin", "admins", multiple=True, help="An instance's admin listener; repeat it for several.")
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds.")
@click.option("-n", "--count", type=click.IntRange(1), help="Show it so many times; default until Ctrl-C.")
def top(config_path: Path, admins: tuple[str, ...], interval: float, count: int | None) -> None:
    """A live table: per source rate, time to store, refusals, repeats; buffer, spool, Kafka.

    \b
    Example:
      ingestd top -c /etc/ingestd/ingestd.toml
      ingestd top --admin tcp:127.0.0.1:9401 --admin tcp:127.0.0.1:9402
    """
    from ingestd.commands.top import run

    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(config_path, admins, interval, count))


@main.command()
@config_option
@click.option("--admin", help="The instance's admin listener; default the config's.")
@click.option("--source", help="Only of this source.")
@click.option("--flag", "flags", multiple=True, help="Only with this flag: macro, macro:imei, stale, ...")
@click.option("--param", "params", multiple=True, help="Only with this parameter: NAME or NAME=VALUE.")
@click.option("-n", "--count", type=click.IntRange(1), help="So many events; default until Ctrl-C.")
@click.option("--json", "whole", is_flag=True, help="Whole events, for a script.")
def tail(
    config_path: Path, admin: str | None, source: str | None, flags: tuple[str, ...], params: tuple[str, ...],
    count: int | None, whole: bool,
) -> None:  # fmt: skip
    """Follow events as they are stored. What is as good as a password is masked.

    The daemon does not wait for a slow reader: it leaves events out and says how many.

    \b
    Example:
      ingestd tail --source ocean --flag macro
      ingestd tail --param click_id=24oi6xq2aaakvagnqu7a --json -n 1
    """
    from ingestd.commands.tail import run

    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(config_path, admin, source, flags, params, count, whole=whole))


@main.command()
@config_option
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--topic", is_flag=True, help="The configured Kafka topics against kafka.manifest_topic.")
@click.option("--hours", metavar="FROM[..TO]", help="Only these hours (2026-01-31T23) or days, UTC.")
@json_option
def audit(config_path: Path, directory: Path | None, topic: bool, hours: str | None, as_json: bool) -> None:
    """Hold files or topics against their manifests: name what is missing, altered or repeated, and when.

    DIRECTORY defaults to the configured one. Of each file every byte and every id is looked at; files still
    being written are not. Memory: about 100 bytes an event of the largest file. Topics are read as a
    read_committed consumer does, more than once where they hold over 5,000,000 events of the hours.

    \b
    Exit status: 0 all there, 1 something is missing, altered or cannot be read, 3 nothing but repeats.

    \b
    Example:
      ingestd audit -c /etc/ingestd/ingestd.toml
      ingestd audit /srv/archive/clicks --hours 2026-01-31..2026-02-01 --json
      ingestd audit -c /etc/ingestd/ingestd.toml --topic --hours 2026-01-31T23
    """
    from ingestd.commands.audit import run

    sys.exit(run(config_path, directory, hours, topic=topic, as_json=as_json))
