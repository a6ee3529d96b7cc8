"""`check --unit` says beforehand what the service then meets: each mistake on a real systemd, both ways."""

from __future__ import annotations

import pytest

from tests.support.systemd import venv
from tests.support.systemd.host import CONFIG, Host

pytestmark = pytest.mark.systemd
SERVICE = "ingestd.service"


def check(host: Host, unit: str = "ingestd") -> tuple[int, str]:
    """The status of `check --unit`, typed by root, and what it said."""
    done = host.guest.run(f"{venv.INSTALLED_AT}/bin/ingestd", "check", "--unit", unit, check=False)
    return done.returncode, done.stdout + done.stderr


def starts(host: Host) -> bool:
    return host.guest.systemctl("start", SERVICE, check=False).returncode == 0


def test_as_installed_it_is_right_and_the_service_starts(host: Host) -> None:
    assert check(host)[0] == 0
    assert check(host, "ingestd@1")[0] == 0
    assert starts(host)
    assert check(host)[0] == 0, "the ports in use are its own"


def test_a_directory_elsewhere(host: Host) -> None:
    host.guest.run("install", "-d", "-o", "ingestd", "-g", "ingestd", "/srv/clicks")
    host.configure(f'[file]\ndirectory = "/srv/clicks"\n{CONFIG}')
    status, said = check(host)
    assert (status, "ReadWritePaths=/srv/clicks" in said) == (78, True)
    assert not starts(host)
    host.drop_in(SERVICE, "[Service]\nReadWritePaths=/srv/clicks\n")
    assert check(host)[0] == 0
    assert starts(host)


def test_a_secret_without_a_credential(host: Host) -> None:
    host.guest.run("install", "-d", "-m", "0700", "/etc/ingestd/secrets")
    host.guest.write("/etc/ingestd/secrets/key", "secret")
    host.guest.run("chmod", "0600", "/etc/ingestd/secrets/key")
    host.configure(f'{CONFIG}signature = {{ kind = "token", key_file = "key" }}\n')
    status, said = check(host)
    assert (status, "LoadCredential=key:/etc/ingestd/secrets/key" in said) == (78, True)
    assert not starts(host)
    host.drop_in(SERVICE, "[Service]\nLoadCredential=key:/etc/ingestd/secrets/key\n")
    assert check(host)[0] == 0
    assert starts(host)


def test_a_port_in_use(host: Host) -> None:
    """The other unit's, say, with which this one was to be replaced."""
    host.guest.systemctl("start", "ingestd@1.socket", "ingestd@1.service")
    status, said = check(host)
    assert (status, "tcp:127.0.0.1:9401 is in use by another process" in said) == (78, True)
    assert not starts(host)
    host.guest.systemctl("stop", "ingestd@1.service", "ingestd@1.socket")
    assert check(host)[0] == 0
    assert starts(host)


def test_an_environment_under_a_home(host: Host) -> None:
    host.guest.run("cp", "-a", "/usr/bin/env", "/root/ingestd")
    host.drop_in(
        SERVICE, "[Service]\nExecStart=\nExecStart=/root/ingestd serve -c /etc/ingestd/ingestd.toml\n"
    )
    status, said = check(host)
    assert (status, "/root/ingestd is hidden from the service (ProtectHome=yes)" in said) == (78, True)
    assert not starts(host)
    assert "203/EXEC" in host.guest.systemctl("status", SERVICE, check=False).stdout
