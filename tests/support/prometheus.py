"""A real Prometheus that scrapes one daemon and is asked what the rules and the dashboard ask."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.daemon import ROOT
from tests.support.nginx import free_port
from tests.support.wire import ask, request

START_SECONDS = 60.0
# Labels and value.
Series = tuple[dict[str, str], float]


def why_not() -> str:
    """Why there is no Prometheus here; "" where there is one."""
    return "" if shutil.which("prometheus") else "Debian: apt-get install prometheus"


class Prometheus:
    """Scrapes `target` every second, with the shipped rules; its data are in `place`."""

    def __init__(self, place: Path, target: str) -> None:
        self.address = ("127.0.0.1", free_port())
        self._place = place
        self._config = place / "prometheus.yml"
        self._log = place / "prometheus.log"
        rules = ROOT / "conf" / "prometheus" / "ingestd.rules.yml"
        self._config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s, external_labels: {documents_url: docs}}\n"
            f"rule_files: [{rules}]\n"
            f"scrape_configs: [{{job_name: ingestd, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [
            "setpriv", "--pdeathsig", "KILL", "prometheus", f"--config.file={self._config}",
            f"--storage.tsdb.path={self._place / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self.address[1]}",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"Prometheus does not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _ready(self) -> bool:
        try:
            return ask(self.address, request("/-/ready")).status == 200
        except OSError:
            return False

    def _get(self, path: str) -> Any:
        answer = json.loads(ask(self.address, request(path)).body)
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        return answer["data"]

    def query(self, expression: str) -> list[Series]:
        """The series an expression gives now, with their values. Raises ValueError where it is not one."""
        data = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def rule_errors(self) -> dict[str, str]:
        """Rules that cannot be evaluated, by name."""
        groups = self._get("/api/v1/rules")["groups"]
        return {
            rule["name"]: rule["lastError"]
            for one in groups
            for rule in one["rules"]
            if rule.get("lastError")
        }
