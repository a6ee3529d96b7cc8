"""The unit files themselves: what systemd's own tools say of them, and that they fit the daemon."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ingestd.config.sections import IngestConfig
from tests.support.systemd.host import SERVICES, SOCKETS, UNITS, Host

HIGHEST_EXPOSURE = 1.2
SPILL = ("ingestd-spill.service", "ingestd-spill.timer")


def settings(unit: str) -> dict[str, str]:
    """The [Service] section; of a repeated key the last value."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(UNITS / unit)
    return dict(parser["Service"])


@pytest.mark.parametrize("unit", ["ingestd.service", "ingestd@.service", "ingestd-spill.service"])
def test_exposure_is_low(unit: str, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / unit.replace("@", "@1")
    copy.write_text((UNITS / unit).read_text())
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(copy)]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", report)
    assert found, report
    assert float(found[1]) <= HIGHEST_EXPOSURE, report


@pytest.mark.systemd
@pytest.mark.parametrize("unit", [*SERVICES[:2], *SOCKETS[:2], *SPILL])
def test_verify_has_nothing_to_say(host: Host, unit: str) -> None:
    verdict = host.guest.run("systemd-analyze", "verify", unit)
    assert (verdict.stdout, verdict.stderr) == ("", "")


@pytest.mark.systemd
def test_verify_would_have_said_something(host: Host) -> None:
    host.drop_in("ingestd.service", "[Service]\nNoSuchKey=1\n")
    assert "NoSuchKey" in host.guest.run("systemd-analyze", "verify", "ingestd.service").stderr


@pytest.mark.parametrize("kind", ["service", "socket"])
def test_the_template_differs_only_in_what_belongs_to_an_instance(kind: str) -> None:
    def directives(name: str) -> list[str]:
        lines = (UNITS / name).read_text().splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    own = ("INGESTD_", "EnvironmentFile=")
    template = [line for line in directives(f"ingestd@.{kind}") if not any(word in line for word in own)]
    as_single = [line.replace(", instance %i", "").replace("@%i", "").replace("-%i", "") for line in template]
    assert as_single == directives(f"ingestd.{kind}")


def test_systemd_is_more_patient_than_the_drain() -> None:
    stop = settings("ingestd.service")["TimeoutStopSec"]
    assert int(stop.removesuffix("s")) > IngestConfig().drain_timeout


def test_there_are_descriptors_for_every_connection() -> None:
    assert int(settings("ingestd.service")["LimitNOFILE"]) > IngestConfig().max_connections


def test_the_loop_is_watched() -> None:
    assert 5 <= int(settings("ingestd.service")["WatchdogSec"].removesuffix("s")) <= 30
