"""Files that commands write for others to read: after a power cut they are there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestd.cli import main
from ingestd.cli.replay_checkpoint import Checkpoints
from tests.support.filing import synced

CONFIG = '[[source]]\nname = "demo"\npath = "/c/demo"\n'


def units(root: Path) -> None:
    """The units, and nginx's files beside them."""
    arguments = ["install-units", "--root", str(root), "--binary", "/opt/clicks/bin/ingestd"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def nginx(root: Path) -> None:
    """nginx's replies and limits."""
    (root / "ingestd.toml").write_text(CONFIG)
    arguments = ["nginx", "-c", str(root / "ingestd.toml"), "-o", str(root)]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (root / "ingestd.toml").unlink()


def checkpoint(root: Path) -> None:
    """How far a replay got."""
    Checkpoints(root / "checkpoint").save("file", 7)


@pytest.mark.parametrize(("write", "least"), [(units, 11), (nginx, 2), (checkpoint, 1)])
def test_each_is_on_the_disk_before_it_has_its_name_and_its_name_is_before_the_command_ends(
    write: Callable[[Path], None], least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = synced(monkeypatch)
    write(tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= least
    assert not [path for path in written if path.suffix == ".tmp"]
    for path in written:
        content = seen.index((path.with_name(path.name + ".tmp"), path.stat().st_size))
        named = [at for at, (synced_path, names) in enumerate(seen) if synced_path == path.parent
                 and isinstance(names, list) and path.name in names]  # fmt: skip
        assert named, f"{path} has no durable name"
        assert content < named[0], path


@pytest.mark.parametrize("write", [units, nginx])
def test_nginx_and_systemd_can_read_them_whatever_the_callers_umask_is(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        write(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o644}, modes
