"""`ingestd install-units`: the files a host needs beside the package, to their places."""

from __future__ import annotations

import difflib
import grp
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ingestd.cli import host_files
from ingestd.cli.host_files import SPILL_TIMER, Host, HostFile
from ingestd.cli.options import config_option
from ingestd.errors import IngestdError
from ingestd.system import durable

# Debian's own site claims port 80 as the default server too, and nginx takes only one.
DEFAULT_SITE = Path("/etc/nginx/sites-enabled/default")
OLD = ".old"


@click.command("install-units")
@config_option
@click.option("--dry-run", is_flag=True, help="Say what would be written where; write nothing.")
@click.option("--force", is_flag=True, help="Replace files that differ; the old one is kept as FILE.old.")
@click.option(
    "-n", "--instances", type=click.IntRange(1, 64), default=1, show_default=True,
    help="1: ingestd.service; more: ingestd@1 to ingestd@N, each with its line in nginx' upstream.",
)  # fmt: skip
@click.option("--user", default="ingestd", show_default=True, help="The user and group it runs as.")
@click.option(
    "--socket-group", default="www-data", show_default=True, help="The group nginx' workers run as."
)
@click.option(
    "--binary",
    type=click.Path(path_type=Path),
    help="The `ingestd` to run; default that of this environment.",
)
@click.option(
    "--root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("/"),
    help="Write below this directory instead of /: an image, a package.",
)  # fmt: skip
def command(
    config_path: Path, dry_run: bool, force: bool, instances: int, user: str, socket_group: str,
    binary: Path | None, root: Path,
) -> int:  # fmt: skip
    """Install the systemd units, directories and nginx site.

    The configuration and nginx's replies (see `ingestd nginx`) too, where there are none. Then it says what
    to run next. A file that differs from what would be written is left, and the difference shown. Change
    units in drop-ins (`systemctl edit ingestd`): those are never touched. Exit status 1: a file was left.

    \b
    Example:
      ingestd install-units --dry-run
      ingestd install-units --instances 4
    """
    host = Host(binary or own_binary(), config_path, user, socket_group, instances)
    return run(host, root, dry_run=dry_run, force=force)


def run(host: Host, root: Path, *, dry_run: bool, force: bool) -> int:
    """Write, or say what would be written. 1 where a file was left because it differs.

    `root` is put before every path. Raises IngestdError where a file cannot be written.
    """
    left = 0
    for file in host_files.files(host):
        try:
            left += _place(file, _under(root, file.path), dry_run=dry_run, force=force)
        except (OSError, UnicodeDecodeError) as error:
            raise IngestdError(f"{_under(root, file.path)}: {error}") from error
    if left:
        click.echo(f"\n{left} left as they are. Take the lines over by hand, or --force (keeps FILE{OLD}).")
    elif not dry_run:
        click.echo("\nNext:\n" + "".join(f"  {line}\n" for line in next_steps(host, root)), nl=False)
    return 1 if left else 0


def own_binary() -> Path:
    """The `ingestd` of the environment this runs in. Raises IngestdError where there is none."""
    binary = Path(sys.executable).parent / "ingestd"
    if not binary.exists():
        raise IngestdError(f"there is no {binary}; install the package, or name the program: --binary PATH")
    return binary


def _under(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _place(file: HostFile, path: Path, *, dry_run: bool, force: bool) -> bool:
    """Write one file where that may be done; True where it is left though it differs."""
    there = path.read_text("utf-8") if path.exists() else None
    if there == file.text or (there is not None and file.theirs):
        click.echo(f"{path}: {'as it should be' if there == file.text else 'yours, left as it is'}")
        return False
    if there is not None:
        click.echo(f"{path}: differs{'; replaced' if force and not dry_run else ''}")
        click.echo(_diff(path, there, file.text), nl=False)
        if not force:
            return True
    if dry_run:
        click.echo(f"{path}: would be written" + ("" if there else f"\n{_indented(file.text)}"))
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if there is not None:
        shutil.copy2(path, path.with_name(path.name + OLD))  # a copy: there is always one under its name
    # Readable for nginx and systemd whatever the caller's umask is.
    durable.atomic_write(path, file.text.encode(), 0o644)
    click.echo(f"{path}: written")
    return False


def _diff(path: Path, there: str, new: str) -> str:
    lines = difflib.unified_diff(
        there.splitlines(), new.splitlines(), f"{path} (there)", f"{path} (new)", n=1, lineterm=""
    )
    return "".join(f"  {line}\n" for line in lines)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def next_steps(host: Host, root: Path) -> Sequence[str]:
    """The commands to run now, each with what it is for."""
    sockets = " ".join(f"{name}.socket" for name in host.names)
    services = " ".join(host.names)
    steps = [
        "systemd-sysusers ingestd.conf && systemd-tmpfiles --create ingestd.conf",
        f"# your sources: {host.config}; your name and certificate: /etc/nginx/conf.d/ingestd.conf",
        f"{host.binary} check -c {host.config}",
        f"{host.binary} nginx -c {host.config} -o /etc/nginx/ingestd",
        f"systemctl daemon-reload && systemctl enable --now {sockets} {services} {SPILL_TIMER}",
        "nginx -t && systemctl reload nginx",
        f"{host.binary} send -c {host.config} --to http://127.0.0.1:80 -n 20",
    ]
    if _under(root, DEFAULT_SITE).is_symlink() or _under(root, DEFAULT_SITE).exists():
        steps.insert(4, f"rm {DEFAULT_SITE}   # Debian's own site, which claims port 80 too")
    if not _has_group(host.socket_group):
        steps.insert(
            0, f"# no group {host.socket_group} here: --socket-group NAME, the one nginx' workers run as"
        )
    return steps


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
