"""Installing as systemd/README.md says, word for word, on a host with nginx; and several instances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import first_shell_block
from tests.support.nginx import binary
from tests.support.systemd import venv
from tests.support.systemd.host import CONFIG, Host

pytestmark = pytest.mark.systemd
PAGE = "systemd/README.md"
DEFAULT_SITE = "/etc/nginx/sites-enabled/default"
NGINX_UNIT = Path("/lib/systemd/system/nginx.service")


def shell(host: Host, line: str) -> str:
    """A line as somebody types it there: standard output and error."""
    search = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    done = host.guest.run("sh", "-c", f"export PATH={search}; {line}")
    return done.stdout + done.stderr


def written(heading: str) -> list[str]:
    """The lines of the page's first shell block under a heading."""
    return first_shell_block(PAGE, heading)


def less_pip(lines: list[str]) -> list[str]:
    """Without the line that needs a package index: the fixture has done that, by pip, from source."""
    assert f"{venv.INSTALLED_AT}/bin/pip install " in lines[0]
    return lines[1:]


@pytest.fixture
def bare(host: Host) -> Iterator[Host]:
    """A host with Debian's nginx running and nothing of ingestd but its package."""
    if binary() is None or not NGINX_UNIT.exists():
        pytest.skip("there is no nginx of Debian's here: the documented install path is NOT tested")
    host.end()
    shell(host, "rm -rf /etc/systemd/system/ingestd* /etc/*.d/ingestd.conf /etc/ingestd /etc/nginx/ingestd")
    shell(host, "rm -rf /etc/nginx/conf.d/* /run/ingestd; userdel ingestd; systemctl daemon-reload")
    shell(host, f"ln -sf /etc/nginx/sites-available/default {DEFAULT_SITE}")
    host.guest.systemctl("start", "nginx")
    yield host
    for unit in ("ingestd", "ingestd@1", "ingestd@2"):
        host.guest.systemctl("disable", "--now", f"{unit}.socket", f"{unit}.service", check=False)
    host.guest.systemctl("disable", "--now", "ingestd-spill.timer", check=False)
    host.guest.systemctl("stop", "nginx")
    shell(host, "rm -rf /etc/systemd/system/ingestd* /etc/nginx/conf.d/ingestd.conf")
    host.install()


def test_the_documented_install_commands_lead_to_a_click_on_disk(bare: Host) -> None:
    """Each as written; the last sends clicks through nginx."""
    for line in less_pip(written("## Install on a Debian host")):
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


def test_the_runbooks_commands_do_what_they_say(bare: Host) -> None:
    """A first source, an upgrade, a look at the disk: each line as written."""
    for line in less_pip(written("## Install on a Debian host")):
        shell(bare, line)
    bare.configure(f'{CONFIG}[[source]]\nname = "ocean"\npath = "/c/ocean"\nprofile = "ocean"\n')
    said = "".join(shell(bare, line) for line in written("### A first source"))
    assert "/c/ocean/app42?advertiser_id=__ADVERTISER_ID__" in said
    assert [event["source"] for event in bare.events()].count("ocean") == 20
    old = bare.guest.main_pid("ingestd.service")
    said = "".join(shell(bare, line) for line in less_pip(written("## Upgrade")))
    assert said.endswith("ready\n")
    assert bare.guest.main_pid("ingestd.service") != old
    said = "".join(shell(bare, line) for line in written("### The disk is full"))
    assert said.startswith("ready\n")
    assert "/var/lib/ingestd/clicks" in said
