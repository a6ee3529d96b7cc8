"""The disk of nginx' spill fills up: the timer has nginx spill no more, and again once there is room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.cli.nginx import SPILL, SWITCH
from tests.support.systemd.host import UNITS, Host

pytestmark = pytest.mark.systemd
SERVICE, TIMER = "ingestd-spill.service", "ingestd-spill.timer"
DISK = "/mnt/spill"
FILL = f"head -c 950K /dev/zero >{DISK}/ingestd.spill"


@pytest.fixture
def disk(host: Host) -> Iterator[Host]:
    """A disk of 1 MiB for the spill, and the timer looking after it, often."""
    host.guest.run("sh", "-c", f"mkdir -p {DISK} && mount -t tmpfs -o size=1M tmpfs {DISK}")
    host.drop_in(SERVICE, f"[Service]\nEnvironment=DIRECTORY={DISK}\n")
    host.drop_in(TIMER, "[Timer]\nOnUnitInactiveSec=200ms\nAccuracySec=1ms\n")
    # At level debug systemd's own process speaks first, and journald takes what follows for systemd's too.
    host.guest.systemctl("log-level", "info")
    host.guest.systemctl("start", TIMER)
    yield host
    host.guest.systemctl("stop", TIMER, SERVICE)
    host.guest.run("sh", "-c", f"rm -f {SWITCH}; umount {DISK}")


def test_the_switch_comes_before_the_disk_is_full_and_goes_when_there_is_room(disk: Host) -> None:
    since = disk.journal.position()
    assert not disk.guest.path(SWITCH).exists()
    disk.guest.run("sh", "-c", FILL)
    disk.journal.wait(SERVICE, f"{DISK}: disk 9. % full: nginx spills no clicks", since)
    assert disk.guest.path(SWITCH).exists()
    assert disk.guest.run("setpriv", "--reuid=www-data", "--clear-groups", "test", "-e", SWITCH)
    disk.guest.run("rm", f"{DISK}/ingestd.spill")
    disk.journal.wait(SERVICE, f"{DISK}: disk 0 % full: nginx spills clicks again", since)
    assert not disk.guest.path(SWITCH).exists()


def test_a_switch_that_somebody_else_put_there_stays(disk: Host) -> None:
    disk.guest.run("touch", SWITCH)
    disk.guest.systemctl("start", SERVICE)  # a whole look
    assert disk.guest.path(SWITCH).exists()


def test_a_look_leaves_no_word_and_a_directory_that_is_gone_does(disk: Host) -> None:
    since = disk.journal.position()
    disk.guest.systemctl("start", SERVICE)
    assert disk.journal.entries(SERVICE, since) == []
    disk.drop_in(SERVICE, "[Service]\nEnvironment=DIRECTORY=/no/such\n")
    assert disk.guest.systemctl("start", SERVICE, check=False).returncode != 0
    disk.journal.wait(SERVICE, "/no/such.*No such file", since)


def test_the_unit_looks_where_the_spill_is_and_puts_the_switch_where_nginx_looks() -> None:
    text = (UNITS / SERVICE).read_text()
    assert f"DIRECTORY={Path(SPILL).parent}\n" in text
    assert f"switch={SWITCH};" in text
