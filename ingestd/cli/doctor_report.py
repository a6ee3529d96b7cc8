"""The report of `doctor`: everything it looked at, as text, without secrets and events."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from ingestd.cli import check_unit
from ingestd.cli.check import CheckReport
from ingestd.cli.check_unit_paths import nearest
from ingestd.cli.doctor_findings import Look
from ingestd.cli.version import versions

LOG_LINES = 200


def log_of(unit_name: str | None) -> list[str]:
    """The last lines of a unit's log in the journal; empty without a unit or without a journal."""
    if unit_name is None:
        return []
    asked = ["journalctl", "--unit", unit_name, "--lines", str(LOG_LINES), "--no-pager", "--output", "cat"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()


def text(
    config_path: Path, report: CheckReport, looks: Sequence[Look], findings: Sequence[str], log: Sequence[str]
) -> str:
    """The report as a text of sections."""
    sections = {
        "what looks wrong": "\n".join(findings) or "nothing",
        "versions": "\n".join(f"{name} {version}" for name, version in versions().items()),
        "machine": "\n".join(_machine()),
        f"configuration ({config_path})": _configuration(report),
        "environment": "\n".join(sorted(name for name in os.environ if name.startswith("INGESTD_"))) or "-",
        "not confirmed": "\n".join(map(str, report.unconfirmed)) or "-",
    }
    for look in looks:
        sections[f"instance {look.address}"] = look.error or _json(look.now)
        if look.now is not None:
            sections[f"status of {look.address}"] = _json(look.status)
            sections[f"metrics of {look.address}"] = look.metrics
    sections["log"] = "\n".join(log) or "- (--unit NAME reads the journal)"
    head = f"ingestd doctor, {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n"
    return head + "".join(f"\n== {name} ==\n{body.rstrip()}\n" for name, body in sections.items())


def _machine() -> list[str]:
    return [
        platform.platform(),
        f"{os.cpu_count()} CPUs, load {', '.join(f'{load:.2f}' for load in os.getloadavg())}",
        f"user {os.geteuid()}",
    ]


def _configuration(report: CheckReport) -> str:
    """The configuration with every default (secrets are files, only named), and its directories' disks."""
    if report.settings is None:
        return "it cannot be used: see above"
    disks = []
    for key, directory in check_unit.directories(report.settings).items():
        usage = shutil.disk_usage(nearest(directory))
        disks.append(f"{key}: {directory}: {usage.free} of {usage.total} bytes free")
    return "\n".join([_json(report.settings.model_dump(mode="json")), *disks])


def _json(tree: object) -> str:
    return orjson.dumps(tree, option=orjson.OPT_INDENT_2).decode()
