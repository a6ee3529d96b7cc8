"""`systemctl reload` and SIGHUP, with a good configuration and with a wrong one."""

from __future__ import annotations

import pytest

from tests.support.systemd.clicks import Clicks
from tests.support.systemd.host import CONFIG, Host

pytestmark = pytest.mark.systemd
SERVICE = "ingestd.service"
MORE = CONFIG + '[[source]]\nname = "more"\npath = "/c/more"\n'
WRONG = CONFIG + '[[source]]\nname = "more"\npath = 17\n'


def failures(host: Host) -> str:
    """The metric's line."""
    _status, text = host.admin("/metrics")
    return next(line for line in text.splitlines() if line.startswith("ingestd_config_reload_failures_total"))


def test_a_new_source_is_taken_up_without_a_pause(host: Host) -> None:
    host.guest.systemctl("start", SERVICE)
    pid = host.guest.main_pid(SERVICE)
    assert host.click("click_id=a", path="/c/more")[0] == 404
    with Clicks(host.connect) as clicks:
        clicks.wait_for_more()
        host.configure(MORE)
        since = host.journal.position()
        host.guest.systemctl("reload", SERVICE)
        host.journal.wait(SERVICE, r"\(READY=1, STATUS=accepting events for 2 sources\)", since)
        clicks.wait_for_more()
    assert host.click("click_id=b", path="/c/more") == (200, "ok")
    said = [text.partition("=")[0] for _pid, text in host.journal.notifications(SERVICE, since)]
    assert said == ["RELOADING", "READY"]
    assert host.guest.main_pid(SERVICE) == pid
    assert (clicks.unanswered, clicks.refused) == (0, {})


def test_reload_refuses_a_wrong_configuration_and_says_why(host: Host) -> None:
    host.guest.systemctl("start", SERVICE)
    # At level debug systemd's own process speaks first, and journald takes what `check` says for systemd's.
    host.guest.systemctl("log-level", "info")
    host.configure(WRONG)
    since = host.journal.position()
    assert host.guest.systemctl("reload", SERVICE, check=False).returncode != 0
    host.journal.wait(SERVICE, r"ingestd\.toml: source\[1\]\.path", since)
    assert host.guest.show(SERVICE, "ActiveState") == "active"
    assert failures(host).endswith(" 0.0")  # the daemon was not even asked
    assert host.click("click_id=1") == (200, "ok")


def test_a_hangup_with_a_wrong_configuration_changes_nothing_and_is_counted(host: Host) -> None:
    host.guest.systemctl("start", SERVICE)
    assert failures(host).endswith(" 0.0")
    host.configure(WRONG)
    since = host.journal.position()
    host.guest.systemctl("kill", "--signal=HUP", SERVICE)
    host.journal.wait(SERVICE, r"\(READY=1, STATUS=accepting events for 1 sources\)", since)
    host.journal.wait(SERVICE, "level=error .*old one stays", since)
    assert failures(host).endswith(" 1.0")
    assert host.click("click_id=1") == (200, "ok")
