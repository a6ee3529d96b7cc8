"""`ingestd install-units`: puts the files a host needs beside the package to their places."""

from __future__ import annotations

import difflib
import grp
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from ingestd.cli import host_files
from ingestd.cli.host_files import SPILL_TIMER, Host, HostFile
from ingestd.cli.options import config_option
from ingestd.errors import IngestdError
from ingestd.system import durable

# Debian's own site claims port 80 as the default server too, and nginx takes only one.
DEFAULT_SITE = Path("/etc/nginx/sites-enabled/default")
OLD = ".old"
# Of a file: new, as it should be, the user's own, replaced by --force, or left though it differs.
State = Literal["new", "current", "yours", "replaced", "left"]


@click.command("install-units")
@config_option
@click.option("--dry-run", is_flag=True, help="Say what would be written where; write nothing.")
@click.option("--diff", is_flag=True, help="Show the text of new files, and the difference of others.")
@click.option("--force", is_flag=True, help="Replace files that differ; the old one is kept as FILE.old.")
@click.option(
    "-n", "--instances", type=click.IntRange(1, 64), default=1, show_default=True,
    help="1: ingestd.service; more: ingestd@1 to ingestd@N, each with its line in nginx's upstream.",
)  # fmt: skip
@click.option("--user", default="ingestd", show_default=True, help="The user and group it runs as.")
@click.option(
    "--socket-group", default="www-data", show_default=True, help="The group nginx's workers run as."
)
@click.option(
    "--binary",
    type=click.Path(path_type=Path),
    help="The `ingestd` to run. Default: that of this environment.",
)
@click.option(
    "--root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("/"),
    help="Write below this directory instead of /: an image, a package.",
)  # fmt: skip
def command(
    config_path: Path, dry_run: bool, diff: bool, force: bool, instances: int, user: str, socket_group: str,
    binary: Path | None, root: Path,
) -> int:  # fmt: skip
    """Install the systemd units, directories and nginx site.

    The configuration and nginx's replies (see `ingestd nginx`) too, unless they exist. Then it says what to
    run next. A file that differs from what would be written is left; --diff shows the difference. Change
    units in drop-ins (`systemctl edit ingestd`): those are never touched. Exit status 1: a file was left.

    \b
    Example:
      ingestd install-units --dry-run --diff
      ingestd install-units --instances 4
    """
    host = Host(binary or own_binary(), config_path, user, socket_group, instances)
    return run(host, root, dry_run=dry_run, force=force, diff=diff)


def run(host: Host, root: Path, *, dry_run: bool, force: bool, diff: bool) -> int:
    """Write the files, or say what would be written, a line for each; `diff`: and the text.

    `root` is put before every path. Returns the exit status: 1 if a file was left because it differs. Raises
    IngestdError if a file cannot be written.
    """
    counts: Counter[str] = Counter()
    for file in host_files.files(host):
        path = _under(root, file.path)
        try:
            there = path.read_text("utf-8") if path.exists() else None
            state = _state(file, there, force=force)
            if not dry_run and state in ("new", "replaced"):
                _write(path, file.text)
        except (OSError, UnicodeDecodeError) as error:
            raise IngestdError(f"{path}: {error}") from error
        click.echo(f"{path}: {_described(file, there, state, dry_run=dry_run)}")
        if diff and state not in ("current", "yours"):
            click.echo(_text(path, there, file.text), nl=False)
        counts[state] += 1
    if counts["left"]:
        hint = "" if diff else " --diff shows the difference;"
        click.echo(f"\n{counts['left']} left as they are.{hint} --force replaces them and keeps FILE{OLD}.")
    elif dry_run:
        hint = "" if diff else " --diff shows the text."
        click.echo(f"\n{counts['new'] + counts['replaced']} would be written.{hint}")
    else:
        click.echo("\nNext:\n" + "".join(f"  {line}\n" for line in next_steps(host, root)), nl=False)
    return 1 if counts["left"] else 0


def own_binary() -> Path:
    """The `ingestd` of the environment this runs in. Raises IngestdError if it is missing."""
    binary = Path(sys.executable).parent / "ingestd"
    if not binary.exists():
        raise IngestdError(f"there is no {binary}; install the package, or name the program: --binary PATH")
    return binary


def _under(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _state(file: HostFile, there: str | None, *, force: bool) -> State:
    """What becomes of a file, given the text that is there."""
    if there is None:
        return "new"
    if there == file.text:
        return "current"
    if file.theirs:
        return "yours"
    return "replaced" if force else "left"


def _described(file: HostFile, there: str | None, state: State, *, dry_run: bool) -> str:
    if state == "new":
        lines = len(file.text.splitlines())
        return f"{'would be written' if dry_run else 'written'}, {lines} lines"
    if state in ("current", "yours"):
        return "up to date" if state == "current" else "yours, left as it is"
    more, fewer = _changes(there or "", file.text)
    what = {"left": "left", "replaced": "would be replaced" if dry_run else "replaced"}[state]
    return f"differs (+{more} -{fewer} lines), {what}"


def _changes(there: str, new: str) -> tuple[int, int]:
    """The lines that `new` has and `there` has not, and the other way round."""
    lines = list(difflib.ndiff(there.splitlines(), new.splitlines()))
    return sum(line.startswith("+ ") for line in lines), sum(line.startswith("- ") for line in lines)


def _text(path: Path, there: str | None, new: str) -> str:
    """A new file whole, else the difference; indented."""
    lines = new.splitlines()
    if there is not None:
        names = f"{path} (there)", f"{path} (new)"
        lines = list(difflib.unified_diff(there.splitlines(), lines, *names, n=1, lineterm=""))
    return "".join(f"  {line}".rstrip() + "\n" for line in lines)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if path.exists():
        shutil.copy2(path, path.with_name(path.name + OLD))  # a copy: there is always one under its name
    # Readable for nginx and systemd whatever the caller's umask is.
    durable.atomic_write(path, text.encode(), 0o644)


def next_steps(host: Host, root: Path) -> Sequence[str]:
    """The commands to run now, each with what it is for."""
    sockets = " ".join(f"{name}.socket" for name in host.names)
    services = " ".join(host.names)
    steps = [
        "systemd-sysusers ingestd.conf && systemd-tmpfiles --create ingestd.conf",
        f"# your sources: {host.config}; your name and certificate: /etc/nginx/conf.d/ingestd.conf",
        f"{host.binary} check --unit {host.names[0]}",
        f"{host.binary} nginx -c {host.config} -o /etc/nginx/ingestd",
        f"systemctl daemon-reload && systemctl enable --now {sockets} {services} {SPILL_TIMER}",
        "nginx -t && systemctl reload nginx",
        f"{host.binary} send -c {host.config} --to http://127.0.0.1:80 -n 20",
    ]
    if _under(root, DEFAULT_SITE).is_symlink() or _under(root, DEFAULT_SITE).exists():
        steps.insert(4, f"rm {DEFAULT_SITE}   # Debian's own site, which claims port 80 too")
    if not _has_group(host.socket_group):
        steps.insert(
            0, f"# no group {host.socket_group} here: --socket-group NAME, the one nginx's workers run as"
        )
    return steps


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
