"""What nginx writes of a request an instance did not answer: that it failed and where, not what it held."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.needs import need_nginx
from tests.support.nginx import SHIPPED, SHIPPED_ERRORS, Nginx
from tests.support.waiting import until
from tests.support.wire import ask, request

SECRET = "imei=860000000000001&token=s3cret"


def asked_while_one_is_down(place: Path, level: str) -> Nginx:
    """A request through nginx, with its error log at this level, that a dead instance is asked for first."""
    need_nginx()
    with Daemon(place) as daemon:
        nginx = Nginx(place, [place / "dead.sock", daemon.socket])
        site = place / "site.conf"
        shown = f"error_log {nginx.log_file} warn;"
        assert shown in site.read_text()
        site.write_text(site.read_text().replace(shown, f"error_log {nginx.log_file} {level};"))
        with nginx:
            for _ in range(4):  # whichever is asked first
                assert ask(nginx.address, request(f"/c/demo?{SECRET}")).status == 200
            until(lambda: nginx.unanswered.read_text() != "", "a line of what was not answered")
    return nginx


def shipped_level() -> str:
    assert SHIPPED.read_text().count(SHIPPED_ERRORS) == 1
    return SHIPPED_ERRORS.rpartition(" ")[2].removesuffix(";")


def test_no_log_holds_the_query_of_a_request_that_was_not_answered(place: Path) -> None:
    """The instance that failed is named, with the reply the platform got all the same."""
    nginx = asked_while_one_is_down(place, shipped_level())
    lines = nginx.unanswered.read_text().splitlines()
    assert re.search(
        r' 200 request=\w{32} asked="unix:\S+/dead.sock, unix:\S+" answered="502, 200"', lines[0]
    )
    for log in (nginx.log_file, nginx.unanswered):
        assert "imei" not in log.read_text()


@pytest.mark.parametrize("level", ["error", "crit"])
def test_nginxs_error_log_would_have_held_it(place: Path, level: str) -> None:
    """So the level is not for show. A socket that is missing is "crit"."""
    assert SECRET in asked_while_one_is_down(place, level).log()


def test_what_is_answered_is_in_no_log(place: Path) -> None:
    """An access log would hold device ids, and cost time."""
    need_nginx()
    with Daemon(place) as daemon, Nginx(place, [daemon.socket]) as nginx:
        assert ask(nginx.address, request(f"/c/demo?{SECRET}")).status == 200
        assert ask(nginx.address, request("/nowhere")).status == 404
    assert nginx.unanswered.read_text() == nginx.log() == ""
