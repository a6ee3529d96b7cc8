"""Installing as the README says, word for word, on a host with nginx; and several instances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nginx import binary
from tests.support.systemd import venv
from tests.systemd.conftest import Host

pytestmark = pytest.mark.systemd
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
DEFAULT_SITE = "/etc/nginx/sites-enabled/default"
NGINX_UNIT = Path("/lib/systemd/system/nginx.service")


def shell(host: Host, line: str) -> str:
    """A line as somebody types it there: standard output and error."""
    search = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    done = host.guest.run("sh", "-c", f"export PATH={search}; {line}")
    return done.stdout + done.stderr


def install_commands() -> list[str]:
    """The README's, less the one that needs a package index: the fixture has done that, by pip."""
    block = README.partition("### Install on a Debian host")[2].partition("```sh\n")[2].partition("```")[0]
    first, *rest = block.splitlines()
    assert first == f"python3 -m venv {venv.INSTALLED_AT} && {venv.INSTALLED_AT}/bin/pip install ."
    return rest


@pytest.fixture
def bare(host: Host) -> Iterator[Host]:
    """A host with Debian's nginx running and nothing of ingestd but its package."""
    if binary() is None or not NGINX_UNIT.exists():
        pytest.skip("there is no nginx of Debian's here: the README's install path is NOT tested")
    host.end()
    shell(host, "rm -rf /etc/systemd/system/ingestd* /etc/*.d/ingestd.conf /etc/ingestd /etc/nginx/ingestd")
    shell(host, "rm -rf /etc/nginx/conf.d/* /run/ingestd; userdel ingestd; systemctl daemon-reload")
    shell(host, f"ln -sf /etc/nginx/sites-available/default {DEFAULT_SITE}")
    host.guest.systemctl("start", "nginx")
    yield host
    for unit in ("ingestd", "ingestd@1", "ingestd@2"):
        host.guest.systemctl("disable", "--now", f"{unit}.socket", f"{unit}.service", check=False)
    host.guest.systemctl("stop", "nginx")
    shell(host, "rm -rf /etc/systemd/system/ingestd* /etc/nginx/conf.d/ingestd.conf")
    host.install()


def test_the_readmes_install_commands_lead_to_a_click_on_disk(bare: Host) -> None:
    """Each as written; the last sends clicks through nginx."""
    for line in install_commands():
        shell(bare, line)
    assert len(bare.events()) == 20
    for unit in ("ingestd.socket", "ingestd.service"):
        assert bare.guest.show(unit, "UnitFileState") == "enabled"
        assert bare.guest.run("systemd-analyze", "verify", unit).stderr == ""


def test_the_steps_the_command_ends_with_bring_up_two_instances_behind_nginx(bare: Host) -> None:
    """Run as printed; afterwards each instance takes its share."""
    printed = shell(bare, f"{venv.INSTALLED_AT}/bin/ingestd install-units --instances 2")
    steps = [line.strip() for line in printed.partition("Next:\n")[2].splitlines()]
    assert any(line.startswith(f"rm {DEFAULT_SITE}") for line in steps)
    for line in steps:
        shell(bare, line)
    assert len(bare.events()) == 20
    nodes = {str(event["node"]).rpartition("-")[2] for event in bare.events()}
    assert nodes == {"1", "2"}
