"""When certificates expire: real ones, compared with what openssl says; and the size of nginx's spill log."""

from __future__ import annotations

import logging
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ingestd import config
from ingestd.admin.certificates import expiry
from ingestd.admin.watched_files import WatchedFiles
from tests.support.kafka.tls import TestCa

DAY = 86400
SOURCE = [{"name": "demo", "path": "/c/demo"}]


def openssl_end(pem: bytes) -> float:
    """What openssl says of the first certificate."""
    asked = ["openssl", "x509", "-noout", "-enddate", "-dateopt", "iso_8601"]
    said = subprocess.run(asked, input=pem, capture_output=True, check=True).stdout.decode()
    moment = time.strptime(said.strip().removeprefix("notAfter="), "%Y-%m-%d %H:%M:%SZ")
    return float(time.mktime(moment) - time.timezone)


def watched(**tree: Any) -> WatchedFiles:
    return WatchedFiles(config.parse({"source": SOURCE, **tree}, "/etc/ingestd/ingestd.toml", {}))


@pytest.mark.parametrize("days", [2, 365, 365 * 40])
def test_a_certificates_end_is_read_as_openssl_reads_it(tmp_path: Path, days: int) -> None:
    """Before 2050 its year has two digits, from then on four."""
    pem = TestCa(tmp_path, days).ca_file.read_bytes()
    assert expiry(pem) == [openssl_end(pem)]
    assert expiry(pem)[0] == pytest.approx(time.time() + days * DAY, abs=120)


def test_a_chain_ends_with_its_first_and_of_authorities_one_is_enough(tmp_path: Path) -> None:
    """The broker's chain and key in one file; an old authority beside the new one."""
    soon, later = TestCa(tmp_path / "a", 2), TestCa(tmp_path / "b", 90)
    both = tmp_path / "both.pem"
    both.write_bytes(later.ca_file.read_bytes() + soon.server_pem.read_bytes())
    security = {"protocol": "SSL", "ca_file": str(both)}
    kafka = {"bootstrap": "k:1", "security": security}
    found = watched(admin={"certificates": [str(soon.server_pem)]}, kafka=kafka).certificate_expiry()
    assert found[str(soon.server_pem)] == pytest.approx(time.time() + 2 * DAY, abs=120)
    assert found[str(both)] == pytest.approx(time.time() + 90 * DAY, abs=120)


@pytest.mark.parametrize(
    "content",
    [b"", b"no certificate\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None],
)
def test_what_is_no_certificate_is_left_out_and_named_once(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at every scrape."""
    file = tmp_path / "cert.pem"
    if content is not None:
        file.write_bytes(content)
    files = watched(admin={"certificates": [str(file)]})
    with caplog.at_level(logging.WARNING):
        assert files.certificate_expiry() == files.certificate_expiry() == {}
    assert [record.__dict__["file"] for record in caplog.records] == [str(file)]


def test_a_cut_certificate_is_an_error_and_nothing_worse(tmp_path: Path) -> None:
    """At whatever byte."""
    whole = TestCa(tmp_path).ca_file.read_text().splitlines()
    for lines in range(1, len(whole) - 2):
        for letters in (0, 4, 32):
            text = "\n".join([*whole[:lines], whole[lines][:letters], whole[-1]])
            with pytest.raises(ValueError, match="certificate"):
                expiry(text.encode())


def test_the_spill_logs_size_is_shown_and_zero_where_there_is_none(tmp_path: Path) -> None:
    """A log in a directory that is not ours to enter is no metric at all."""
    spill = tmp_path / "ingestd.spill"
    files = watched(admin={"spill_log": str(spill)})
    assert files.metrics() == {"spill_log_bytes": 0}
    spill.write_text("x" * 10)
    assert files.metrics() == {"spill_log_bytes": 10}
    assert watched(admin={"spill_log": f"{spill}/x"}).metrics() == {}
