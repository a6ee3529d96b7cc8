"""What the daemon can and cannot reach, and as whom it runs."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

import pytest

from tests.support.systemd.host import CONFIG, STATE, Host

pytestmark = pytest.mark.systemd
SERVICE = "ingestd.service"
DYNAMIC_USERS = range(61184, 65520)  # systemd's documentation, "Users, Groups, UIDs and GIDs"


def in_service(host: Host, *command: str, user: str | None = None) -> tuple[int, str]:
    """Run a command in the daemon's mount namespace, as root or a user: exit status, standard error."""
    become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups") if user else ()
    pid = str(host.guest.main_pid(SERVICE))
    done = host.guest.run("nsenter", "--target", pid, "--mount", *become, *command, check=False)
    return done.returncode, done.stderr + done.stdout


def status_field(host: Host, name: str) -> str:
    """A field of the daemon's /proc/PID/status."""
    text = host.guest.path(f"/proc/{host.guest.main_pid(SERVICE)}/status").read_text()
    found = re.search(rf"^{name}:\s*(.*)$", text, re.MULTILINE)
    assert found, text
    return found[1]


@pytest.fixture
def without_the_user(host: Host) -> Iterator[None]:
    """A host on which nobody made the user `ingestd`."""
    host.guest.run("userdel", "ingestd")
    yield
    host.guest.systemctl("stop", SERVICE)
    host.guest.run("systemd-sysusers", "ingestd.conf")


def test_the_system_is_read_only_even_for_root(host: Host) -> None:
    host.guest.systemctl("start", SERVICE)
    for directory in ("/etc", "/usr", "/opt/ingestd", "/run/ingestd", "/run", "/var/log", "/var/lib"):
        status, error = in_service(host, "touch", f"{directory}/x")
        assert (status != 0, "Read-only file system" in error) == (True, True), f"{directory}: {error}"


def test_state_is_writable_homes_are_hidden_and_tmp_is_private(host: Host) -> None:
    host.guest.systemctl("start", SERVICE)
    assert in_service(host, "touch", f"{STATE}/x", user="ingestd") == (0, "")
    assert in_service(host, "touch", "/tmp/x", user="ingestd") == (0, "")
    assert not host.guest.path("/tmp/x").exists()
    status, error = in_service(host, "ls", "/root", user="ingestd")
    assert (status != 0, "Permission denied" in error) == (True, True)


def test_a_directory_elsewhere_is_refused_with_the_setting_that_lets_the_daemon_write_there(
    host: Host,
) -> None:
    """The check that runs before the daemon sees what the daemon would; a drop-in mends it."""
    elsewhere = "/srv/clicks"
    host.guest.run("install", "-d", "-o", "ingestd", "-g", "ingestd", elsewhere)
    host.configure(f'[file]\ndirectory = "{elsewhere}"\n{CONFIG}')
    since = host.journal.position()
    host.guest.systemctl("start", "--no-block", SERVICE)
    host.journal.wait(
        SERVICE, rf"file\.directory: {elsewhere} is read-only .*ReadWritePaths={elsewhere} ", since
    )
    host.drop_in(SERVICE, f"[Service]\nReadWritePaths={elsewhere}\n")
    host.guest.systemctl("restart", SERVICE)
    assert host.click("click_id=1") == (200, "ok")
    assert len(host.events(elsewhere)) == 1


def test_it_has_no_capability_no_new_privileges_and_a_filter_of_system_calls(host: Host) -> None:
    host.guest.systemctl("start", SERVICE)
    assert {int(status_field(host, name), 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert status_field(host, "NoNewPrivs") == "1"
    assert status_field(host, "Seccomp") == "2"


def test_files_are_the_users_and_readable_for_its_group(host: Host) -> None:
    host.click("click_id=1")
    assert status_field(host, "Groups").strip() == status_field(host, "Gid").split()[0]
    (file,) = host.files()
    assert stat.filemode(file.stat().st_mode) == "-rw-r-----"
    owners = host.guest.run("stat", "--format=%U:%G", f"{STATE}/clicks/{file.name}", STATE).stdout.split()
    assert owners == ["ingestd:ingestd", "ingestd:ingestd"]


def test_a_credential_reaches_the_daemon_and_nobody_else(host: Host) -> None:
    secret = "/etc/ingestd/secrets/demo-key"
    host.guest.write(secret, "s3cret\n", mode=0o600)
    host.drop_in(SERVICE, f"[Service]\nLoadCredential=demo-key:{secret}\n")
    host.configure(CONFIG + 'signature = { kind = "token", key_file = "demo-key", param = "token" }\n')
    for token in ("s3cret", "other"):
        assert host.click(f"click_id=1&token={token}") == (200, "ok")
    assert [event["signature"] for event in host.events()] == ["ok", "bad"]
    host.guest.systemctl("reload", SERVICE)  # whose `check` sees it as well
    place = f"/run/credentials/{SERVICE}/demo-key"
    assert in_service(host, "cat", place, user="ingestd") == (0, "s3cret\n")
    assert in_service(host, "cat", secret, user="ingestd")[0] != 0
    assert in_service(host, "cat", place, user="www-data")[0] != 0


@pytest.mark.usefixtures("without_the_user")
def test_it_runs_under_a_user_made_up_by_systemd(host: Host) -> None:
    host.drop_in(SERVICE, "[Service]\nDynamicUser=yes\n")
    assert host.click("click_id=1") == (200, "ok")
    assert int(status_field(host, "Uid").split()[0]) in DYNAMIC_USERS
    host.guest.systemctl("restart", SERVICE)
    assert host.click("click_id=2") == (200, "ok")
    stored = host.events("/var/lib/private/ingestd/clicks")
    assert len(stored) == 2
