"""`ingestd install-units`: what it writes where, and what it leaves alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingestd.cli import main
from ingestd.cli.host_files import shipped

ROOT = Path(__file__).parents[2]
BINARY = "/opt/clicks/bin/ingestd"
SERVICE = "etc/systemd/system/ingestd.service"
SITE = "etc/nginx/conf.d/ingestd.conf"


def install(root: Path, *options: str) -> Result:
    arguments = ["install-units", "--root", str(root), "--binary", BINARY, *options]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def written(root: Path) -> dict[str, str]:
    """Every file there, by its path below `root`."""
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_it_writes_every_file_to_its_place_and_ends_with_what_to_run(tmp_path: Path) -> None:
    """As shipped, but for the program's path."""
    done = install(tmp_path)
    assert done.exit_code == 0, done.output
    assert set(written(tmp_path)) == {
        "etc/sysusers.d/ingestd.conf",
        "etc/tmpfiles.d/ingestd.conf",
        "etc/ingestd/ingestd.toml",
        *(f"etc/systemd/system/ingestd{kind}" for kind in (".service", "@.service", ".socket", "@.socket")),
        *(f"etc/systemd/system/ingestd-spill{kind}" for kind in (".service", ".timer")),
        SITE,
        "etc/nginx/ingestd/http.conf",
        "etc/nginx/ingestd/server.conf",
    }
    for name, text in written(tmp_path).items():
        assert "/opt/ingestd" not in text, name
    assert written(tmp_path)[SITE] == (ROOT / "nginx" / "ingestd.conf").read_text()
    steps = done.output.partition("\nNext:\n")[2]
    assert "systemd-sysusers" in steps
    assert f"{BINARY} check --unit ingestd" in steps
    assert "systemctl enable --now ingestd.socket ingestd ingestd-spill.timer\n" in steps


@pytest.mark.parametrize("name", ["systemd/ingestd@.service", "nginx/ingestd/http.conf", "ingestd.toml"])
def test_the_package_has_the_files_of_the_checkout(name: str) -> None:
    """There is one source of each."""
    there = ROOT / ("conf/ingestd.toml" if name == "ingestd.toml" else name)
    assert shipped(name) == there.read_text()


def test_a_dry_run_says_what_goes_where_and_writes_nothing(tmp_path: Path) -> None:
    """A line for each file; with --diff the whole text under it."""
    done = install(tmp_path, "--dry-run")
    assert done.exit_code == 0
    assert not written(tmp_path)
    count = len(shipped("systemd/ingestd.service").splitlines())
    assert f"{tmp_path / SERVICE}: would be written, {count} lines\n" in done.output
    assert "Next:" not in done.output
    (tmp_path / "really").mkdir()
    install(tmp_path / "really")
    files = len(written(tmp_path / "really"))
    assert len(done.output.splitlines()) == files + 2
    assert done.output.splitlines()[-1] == f"{files} would be written. --diff shows the text."
    whole = install(tmp_path, "--dry-run", "--diff")
    assert f"  ExecStart={BINARY} serve -c /etc/ingestd/ingestd.toml\n" in whole.output
    assert not (tmp_path / SERVICE).exists()


def test_again_it_finds_everything_as_it_should_be(tmp_path: Path) -> None:
    """An upgrade that changed no unit has nothing to do."""
    install(tmp_path)
    done = install(tmp_path)
    assert done.exit_code == 0
    assert done.output.count(": up to date") == len(written(tmp_path))


def test_a_changed_file_is_left_and_the_difference_shown_on_demand(tmp_path: Path) -> None:
    """With --dry-run and without."""
    install(tmp_path)
    changed = (tmp_path / SERVICE).read_text().replace("WatchdogSec=15s", "WatchdogSec=60s")
    (tmp_path / SERVICE).write_text(changed)
    for options in ((), ("--dry-run",)):
        brief, whole = install(tmp_path, *options), install(tmp_path, *options, "--diff")
        for done in (brief, whole):
            assert done.exit_code == 1
            assert f"{tmp_path / SERVICE}: differs (+1 -1 lines), left\n" in done.output
            assert "1 left as they are" in done.output
        assert "--diff shows the difference" in brief.output
        assert "\n  -WatchdogSec=60s\n  +WatchdogSec=15s\n" in whole.output
        assert (tmp_path / SERVICE).read_text() == changed


def test_force_replaces_a_changed_file_and_keeps_the_old_one_beside_it(tmp_path: Path) -> None:
    """Under a name that systemd and nginx do not read."""
    install(tmp_path)
    fresh = (tmp_path / SITE).read_text()
    (tmp_path / SITE).write_text("# mine\n")
    assert "lines), would be replaced" in install(tmp_path, "--force", "--dry-run").output
    assert (tmp_path / SITE).read_text() == "# mine\n"
    assert install(tmp_path, "--force").exit_code == 0
    assert (tmp_path / SITE).read_text() == fresh
    assert (tmp_path / f"{SITE}.old").read_text() == "# mine\n"


def test_the_configuration_and_nginxs_replies_are_never_replaced(tmp_path: Path) -> None:
    """They are the user's, made for their sources; --force is for the rest."""
    install(tmp_path)
    for name in ("etc/ingestd/ingestd.toml", "etc/nginx/ingestd/http.conf"):
        (tmp_path / name).write_text("# mine\n")
    done = install(tmp_path, "--force")
    assert done.exit_code == 0
    assert done.output.count("yours, left as it is") == 2
    for name in ("etc/ingestd/ingestd.toml", "etc/nginx/ingestd/http.conf"):
        assert (tmp_path / name).read_text() == "# mine\n"


def test_several_instances_have_a_line_each_and_a_port_each(tmp_path: Path) -> None:
    """The template's port is 940 and the number: from 10 on it is told to each."""
    done = install(tmp_path, "--instances", "11")
    servers = re.findall(r"^    server unix:(\S+) ", written(tmp_path)[SITE], re.MULTILINE)
    assert servers == [f"/run/ingestd/ingestd-{number}.sock" for number in range(1, 12)]
    assert written(tmp_path)["etc/ingestd/11.env"] == "INGESTD_ADMIN_LISTEN=tcp:127.0.0.1:9411\n"
    assert "etc/ingestd/9.env" not in written(tmp_path)
    assert " ingestd@11.socket ingestd@1 " in done.output


def test_user_group_and_configuration_are_filled_in_everywhere(tmp_path: Path) -> None:
    """In the units, the user's entry and the socket."""
    given = ["--user", "clicks", "--socket-group", "nginx", "-c", "/etc/clicks/c.toml"]
    done = install(tmp_path, *given)
    files = written(tmp_path)
    assert "\nUser=clicks\nGroup=clicks\n" in files[SERVICE]
    assert "SocketGroup=nginx" in files["etc/systemd/system/ingestd@.socket"]
    assert "\nu clicks - " in files["etc/sysusers.d/ingestd.conf"]
    assert "etc/clicks/c.toml" in files
    assert files[SERVICE].count("-c /etc/clicks/c.toml") == 3
    assert "/etc/ingestd/ingestd.toml" not in files[SERVICE] + files[SITE]
    assert "no group nginx here" in done.output or "nginx:" in Path("/etc/group").read_text()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--binary", "/home/me/venv/bin/ingestd"], "the service cannot see it"),
        (["-c", "/root/ingestd.toml"], "the service cannot see it"),
        (["-c", "ingestd.toml"], "a whole path"),
        (["--binary", "/opt/my clicks/ingestd"], "a whole path"),
        (["--user", "a b"], "not the name of a user"),
    ],
)
def test_what_no_unit_could_use_is_refused(tmp_path: Path, options: list[str], why: str) -> None:
    """Before anything is written."""
    done = install(tmp_path, *options)
    assert (done.exit_code, why in done.output) == (1, True), done.output
    assert not written(tmp_path)


def test_what_it_writes_is_as_closed_as_what_is_shipped(tmp_path: Path) -> None:
    """systemd-analyze's own rating."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed: the units' exposure is NOT rated")
    install(tmp_path, "--instances", "2")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / SERVICE)]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(report.split("Overall exposure level for ingestd.service: ")[1].split()[0]) <= 1.2
