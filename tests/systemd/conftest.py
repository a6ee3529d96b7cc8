"""A booted systemd in which ingestd is installed as on a Debian host, once for all tests here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator, Iterator

import pytest

from tests.support.systemd import guest as booting
from tests.support.systemd import venv
from tests.support.systemd.host import Host


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The booted host. Skips, with the reason, where none can be."""
    if why := booting.missing() or venv.why_no_interpreter():
        pytest.skip(why)
    directory = tmp_path_factory.mktemp("systemd")
    with booting.Guest.boot(directory, {venv.INSTALLED_AT: venv.install(directory)}) as guest:
        host = Host(guest)
        host.install()
        yield host
    shutil.rmtree(directory / "venv")


@pytest.fixture
def host(booted: Host) -> Iterator[Host]:
    """The booted host with ingestd as freshly installed, its socket listening, the service not started."""
    booted.reset()
    booted.guest.systemctl("start", "ingestd.socket")
    yield booted
    booted.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the guest's journal with a failure."""
    report = yield
    host = getattr(item, "funcargs", {}).get("host")
    if report.failed and host is not None:
        try:
            tail = host.journal.tail()
        except (AssertionError, subprocess.SubprocessError) as error:  # the failure may be the journal's
            tail = str(error)
        report.sections.append(("the guest's journal", tail))
    return report
