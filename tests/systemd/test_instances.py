"""Several instances of the template on one machine."""

from __future__ import annotations

import pytest

from tests.support.systemd.clicks import Clicks
from tests.support.systemd.host import Host

pytestmark = pytest.mark.systemd


def test_instances_have_their_own_socket_name_and_admin_port_and_share_the_directory(host: Host) -> None:
    host.guest.systemctl("start", "ingestd@1.socket", "ingestd@2.socket")
    for number in (1, 2):
        assert host.click(f"click_id={number}", instance=f"-{number}") == (200, "ok")
        assert host.admin("/readyz", port=9400 + number) == (200, "ready\n")
    name = host.guest.run("hostname", "--short").stdout.strip()
    nodes = sorted(str(event["node"]).partition("/")[2] for event in host.events())
    assert nodes == [f"{name}-1", f"{name}-2"]
    files = sorted(file.name for file in host.files())
    assert [f.startswith(f"clicks-{node}-") for f, node in zip(files, nodes, strict=True)] == [True, True]


def test_an_instance_restarts_while_the_other_serves(host: Host) -> None:
    host.guest.systemctl("start", "ingestd@1.service", "ingestd@2.service")
    with Clicks(lambda: host.connect("-2")) as clicks:
        clicks.wait_for_more()
        host.guest.systemctl("restart", "ingestd@1.service")
        clicks.wait_for_more()
    assert (clicks.unanswered, clicks.refused) == (0, {})


def test_a_setting_of_one_instance(host: Host) -> None:
    host.guest.write("/etc/ingestd/1.env", "INGESTD_ADMIN_LISTEN=tcp:127.0.0.1:9500\n")
    host.guest.systemctl("start", "ingestd@1.service")
    assert host.admin("/readyz", port=9500) == (200, "ready\n")
