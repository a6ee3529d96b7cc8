"""`check --unit`: a configuration judged as the service would run it. The install mistakes, kind by kind."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestd.cli import check, main, unit_file
from ingestd.cli.unit_file import Unit
from ingestd.errors import IngestdError
from tests.support.place import open_place

NOBODY = "nobody"
STRICT = "ProtectSystem=strict\nProtectHome=yes"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the unit's user")


class Host:
    """A unit, the program it runs and its configuration, in a directory that everybody may enter."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.config = place / "ingestd.toml"
        self.clicks = place / "clicks"
        self.clicks.mkdir()
        os.chown(self.clicks, 65534, 65534)
        self.program = place / "bin" / "ingestd"
        self.program.parent.mkdir()
        self.program.write_text("#!/bin/sh\n")
        self.program.chmod(0o755)
        self.unit(f"ReadWritePaths={self.clicks}")
        self.configure()

    def unit(self, *lines: str, user: str = NOBODY, sandbox: str = STRICT) -> None:
        text = f"[Service]\nExecStart={self.program} serve -c {self.config}\nUser={user}\n{sandbox}\n"
        folder = self.place / "etc/systemd/system"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ingestd.service").write_text(text + "\n".join(lines) + "\n")

    def configure(self, more: str = "", directory: Path | None = None, source: str = "") -> None:
        ingest = f'[ingest]\nlisten = "unix:{self.place}/s"\n[admin]\nlisten = "unix:{self.place}/a"\n'
        file = f'[file]\ndirectory = "{directory or self.clicks}"\n'
        self.config.write_text(f'{more or ingest}{file}[[source]]\nname = "a"\npath = "/a"\n{source}')
        self.config.chmod(0o644)

    def read(self) -> Unit:
        return unit_file.read("ingestd", self.place)

    def problems(self) -> list[str]:
        return [str(problem) for problem in check.examine(self.config, self.read()).problems]


def said(host: Host, *words: str) -> bool:
    """Whether a problem has all these words."""
    return any(all(word in problem for word in words) for problem in host.problems())


@pytest.fixture
def host() -> Iterator[Host]:
    with open_place() as place:
        yield Host(place)


def test_a_host_on_which_everything_is_right_has_no_problem(host: Host) -> None:
    assert host.problems() == []


def test_a_directory_outside_of_what_the_service_may_write_to(host: Host) -> None:
    host.unit()
    (problem,) = host.problems()
    assert problem.startswith(
        f"file.directory: {host.clicks} is read-only for the service (ProtectSystem=strict)"
    )
    assert f"systemctl edit ingestd.service: [Service] ReadWritePaths={host.clicks}" in problem
    host.unit(sandbox="")
    assert host.problems() == []


def test_a_directory_that_is_another_users(host: Host) -> None:
    os.chown(host.clicks, 0, 0)
    (problem,) = host.problems()
    assert problem == (
        f"file.directory: user nobody may not write to {host.clicks}; "
        f"install -d -o nobody -g nobody -m 0750 {host.clicks}"
    )


def test_the_state_directory_is_systemds_to_create(host: Host) -> None:
    host.unit("StateDirectory=ingestd-check-test")
    host.configure(directory=Path("/var/lib/ingestd-check-test/clicks"))
    assert host.problems() == []


def test_a_path_that_must_exist_and_does_not(host: Host) -> None:
    host.unit(f"ReadWritePaths={host.clicks} {host.place}/gone -{host.place}/maybe")
    (problem,) = host.problems()
    assert f"{host.place}/gone does not exist: the service fails with 226/NAMESPACE" in problem


SIGNED = 'signature = { kind = "token", key_file = "key" }\n'


def test_a_secret_that_only_root_reads_must_be_a_credential(host: Host) -> None:
    secret = host.place / "secrets" / "key"
    secret.parent.mkdir(mode=0o700)
    secret.write_text("secret")
    host.configure(source=SIGNED)
    (problem,) = host.problems()
    assert problem.startswith(f"source a: signature.key_file: user nobody may not read {secret}")
    assert f"[Service] LoadCredential=key:{secret}" in problem
    host.unit(f"ReadWritePaths={host.clicks}", f"LoadCredential=key:{secret}")
    assert host.problems() == []
    secret.unlink()
    assert said(host, "does not exist: the service fails with 243/CREDENTIALS")


def test_an_environment_under_a_home_is_hidden_from_the_service(host: Host) -> None:
    """The program's own place, that of its interpreter, and links on the way to either."""
    home = Path("/root/ingestd-check-test")
    home.mkdir()
    try:
        (home / "python").symlink_to(sys.executable)
        real = host.program
        host.program = home / "ingestd"
        host.program.write_text("#!/bin/sh\n")
        host.program.chmod(0o755)
        host.unit(f"ReadWritePaths={host.clicks}")
        assert any(
            f"{home}/ingestd is hidden from the service (ProtectHome=yes)" in one for one in host.problems()
        )
        host.program = real
        host.program.write_text(f"#!{home}/python\n")
        host.unit(f"ReadWritePaths={host.clicks}")
        assert said(host, f"{home}/python is hidden", "203/EXEC")
        linked = host.place / "linked"
        linked.symlink_to(home)
        host.program.write_text(f"#!{linked}/python\n")
        assert said(host, f"{home}/python is hidden")
    finally:
        for path in home.iterdir():
            path.unlink()
        home.rmdir()


def test_what_lies_in_tmp_is_hidden_by_a_private_one(host: Host) -> None:
    host.unit(f"ReadWritePaths={host.clicks}", "PrivateTmp=yes")
    found = host.problems()
    assert any(f"{host.program} is hidden from the service (PrivateTmp=yes)" in one for one in found)
    assert any(f"file: {host.config} is hidden" in one for one in found)
    assert any(f"file.directory: {host.clicks} is hidden" in one for one in found)


def test_a_program_that_is_gone_or_not_for_the_user(host: Host) -> None:
    host.program.chmod(0o700)
    assert said(host, f"user nobody may not run {host.program}")
    host.program.unlink()
    assert any(
        f"{host.program} does not exist: the service fails with 203/EXEC" in one for one in host.problems()
    )


def test_a_configuration_the_user_may_not_read_or_the_service_does_not(host: Host) -> None:
    host.config.chmod(0o600)
    assert f"file: user nobody may not read {host.config}; chmod 0644 {host.config}" in host.problems()
    other = host.place / "other.toml"
    other.write_text(host.config.read_text())
    found = [str(one) for one in check.examine(other, host.read()).problems]
    assert (
        f"ingestd.service: ExecStart: the service reads {host.config}, not {other}; check -c {host.config}"
        in found
    )


def test_a_port_that_somebody_else_has(host: Host) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        host.configure(f'[admin]\nlisten = "tcp:127.0.0.1:{port}"\n')
        (problem,) = host.problems()
        assert problem.startswith(f"admin.listen: tcp:127.0.0.1:{port} is in use by another process")
    assert host.problems() == []


def test_the_units_environment_is_the_configurations(host: Host) -> None:
    host.unit(f"ReadWritePaths={host.clicks}", "Environment=INGESTD_FLUSH_INTERVAL=soon")
    (problem,) = host.problems()
    assert "flush.interval" in problem


def test_a_user_that_nobody_created(host: Host) -> None:
    host.unit(user="ingestd-no-such-user")
    with pytest.raises(IngestdError, match="systemd-sysusers ingestd"):
        host.problems()


def test_limits_that_do_not_fit_the_configuration(host: Host) -> None:
    host.unit(f"ReadWritePaths={host.clicks}", "TimeoutStopSec=20s", "LimitNOFILE=20000")
    found = host.problems()
    assert any("TimeoutStopSec: 20 s is not more than ingest.drain_timeout, 20 s" in one for one in found)
    assert any("LimitNOFILE: 20000 is too few for ingest.max_connections = 20000" in one for one in found)


def test_a_unit_that_is_not_installed_is_an_error_of_the_command() -> None:
    done = CliRunner().invoke(main, ["check", "--unit", "ingestd-no-such-unit"])
    assert (done.exit_code, "there is no unit ingestd-no-such-unit.service" in done.output) == (1, True)
