"""What `ingestd doctor` finds, kind by kind."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingestd import __version__, config
from ingestd.cli import doctor_findings, nginx
from ingestd.cli.doctor_findings import Look
from ingestd.config.sections import Config


def settings(place: Path, *names: str) -> Config:
    sources = [{"name": name, "path": f"/c/{name}"} for name in names]
    return config.parse({"file": {"directory": str(place)}, "source": sources}, str(place / "c.toml"), {})


def now(**more: Any) -> dict[str, Any]:
    return {
        "node": "host/1",
        "version": __version__,
        "loaded_at": time.time(),
        "health": {"findings": []},
    } | more


def finding(level: str, says: str, detail: str = "") -> dict[str, Any]:
    words = {"says": {"en": says}, "means": {"en": "It means."}, "do": {"en": "Do this."}}
    return {"level": level, "detail": detail, **words}


def test_a_well_instance_has_no_finding_and_one_that_is_not_says_why(tmp_path: Path) -> None:
    found = [finding("bad", "The disk is full.", "ENOSPC"), finding("ok", "Fine."), finding("warn", "Slow.")]
    looks = [Look("a", now()), Look("b", now(health={"findings": found}))]
    assert list(doctor_findings.of_instances(looks, tmp_path / "none")) == [
        "host/1: The disk is full. It means. Do this. (ENOSPC)",
        "host/1: Slow. It means. Do this.",
    ]


def test_an_instance_that_does_not_answer_is_named(tmp_path: Path) -> None:
    (said,) = doctor_findings.of_instances([doctor_findings.look_at(f"unix:{tmp_path}/nobody")], tmp_path)
    assert said.startswith(f"cannot reach unix:{tmp_path}/nobody")


def test_a_daemon_older_than_what_is_installed_or_configured_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.touch()
    looks = [Look("a", now(version="0.0.9", loaded_at=time.time() + 60))]
    (said,) = doctor_findings.of_instances(looks, path)
    assert f"runs version 0.0.9, installed is {__version__}" in said
    os.utime(path, (time.time() + 120,) * 2)
    (said,) = doctor_findings.of_instances([Look("a", now())], path)
    assert f"{path} has changed since it was loaded: systemctl reload ingestd" in said


@pytest.mark.parametrize(
    "line",
    [
        'time=2026-12-01T13:27:47Z level=error msg="delivery failed" error="no route"',
        '{"time": "2026-12-01T13:27:47Z", "level": "error", "msg": "delivery failed", "error": "x"}',
        '{"time":"2026-12-01T13:27:47Z","level":"critical","msg":"delivery failed"}',
    ],
)
def test_errors_of_the_log_are_told_once_with_how_often(line: str) -> None:
    quiet = ["time=2026-12-01T13:27:47Z level=info msg=listening address=tcp", "a line of systemd's"]
    (said,) = doctor_findings.of_log([line, *quiet, line])
    assert said == "log: delivery failed (2 of the last 4 lines)"


def test_a_disk_that_is_nearly_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(path: Path) -> SimpleNamespace:
        return SimpleNamespace(total=100 << 30, free=free << 30)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    free = 50
    assert list(doctor_findings.of_disk(settings(tmp_path, "a"))) == []
    free = 4
    (said,) = doctor_findings.of_disk(settings(tmp_path, "a"))
    assert said.startswith(f"file.directory: {tmp_path} has 4.0 of 100.0 GiB left")


def test_nginx_is_compared_with_the_sources(tmp_path: Path) -> None:
    """The files that `ingestd nginx` writes; the generic pair knows no source."""
    there = tmp_path / "nginx"
    assert list(doctor_findings.of_nginx(settings(tmp_path, "a"), there)) == []
    there.mkdir()
    (said,) = doctor_findings.of_nginx(settings(tmp_path, "a"), there)
    assert "http.conf cannot be read" in said

    def write(*names: str) -> None:
        sources = settings(tmp_path, *names).source if names else ()
        text = nginx.http_part(sources, nginx.spill_format(sources))
        (there / "http.conf").write_text(text)

    write("a", "b")
    assert list(doctor_findings.of_nginx(settings(tmp_path, "a", "b"), there)) == []
    (said,) = doctor_findings.of_nginx(settings(tmp_path, "a", "b", "c.new"), there)
    assert said.startswith("nginx: it has no reply for c.new while no instance responds: ingestd nginx -o")
    (said,) = doctor_findings.of_nginx(settings(tmp_path, "b"), there)
    assert said.startswith("nginx: it answers for a, not in the configuration any more")
    write()
    (said,) = doctor_findings.of_nginx(settings(tmp_path, *"abcdefg"), there)
    assert "a, b, c, d, e and 2 more" in said
