"""Several instances of the template on one machine."""

from __future__ import annotations

import json
import re

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


FETCH = """
import gzip, sys, urllib.error, urllib.request
try:
    data = urllib.request.urlopen("http://127.0.0.1:9401/" + sys.argv[1]).read()
except urllib.error.HTTPError as error:
    data = str(error.code).encode()
print((gzip.decompress(data) if data[:2] == b"\\x1f\\x8b" else data).decode())
"""


def fetched(host: Host, path: str) -> str:
    """A file of the status page of instance 1, or its data; the status of a refusal."""
    return host.guest.run("python3", "-c", FETCH, path).stdout.strip()


def test_the_page_of_one_instance_shows_the_others(host: Host) -> None:
    """As installed: the files are in the package, and the units tell each where the others are."""
    host.guest.systemctl("start", "ingestd@1.service", "ingestd@3.service")
    addresses = [f"tcp:127.0.0.1:{9400 + number}" for number in range(1, 10)]
    assert json.loads(fetched(host, "api/instances")) == {"own": 0, "addresses": addresses}
    for number, name in ((0, "-1"), (2, "-3")):
        assert json.loads(fetched(host, f"api/now?instance={number}"))["node"].endswith(name)
    assert fetched(host, "api/now?instance=1") == "502"
    [path] = re.findall(r'src="(page/[0-9a-f]+/app.js)"', fetched(host, ""))
    assert "import" in fetched(host, path)


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
