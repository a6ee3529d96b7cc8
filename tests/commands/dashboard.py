"""The dashboard's queries with their values, from a real Prometheus beside a real daemon under load.

python -m tests.commands.dashboard            # with the tests' own Kafka broker; about a minute
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.daemon import ROOT
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon
from tests.support.kafka.install import KafkaUnavailableError
from tests.support.load import Load
from tests.support.nginx import free_port
from tests.support.oracle import Ledger
from tests.support.place import open_place
from tests.support.prometheus import Prometheus, Series, why_not
from tests.support.wire import ask, request

DASHBOARD = ROOT / "conf" / "grafana" / "ingestd.json"
# What only time brings: nothing grows towards the spool's end in a minute.
MAY_BE_EMPTY = {"Spool full in"}
ACKS = 2000
SCRAPES = 8


def queries() -> Iterator[tuple[str, str]]:
    """Title of the panel and expression, with all instances and sources chosen."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$instance", ".*").replace("$source", ".*")


def sources(place: Path) -> list[dict[str, object]]:
    """One like the platforms', one whose forged clicks are rejected, one that quarantines them."""
    (place / "token.key").write_text("a-token-of-the-test\n")
    token = {"kind": "token", "param": "token", "key_file": str(place / "token.key")}
    return [
        {"name": "demo", "path": "/c/demo", "dedup": ["n"], "dedup_window": 1000},
        {"name": "rejects", "path": "/c/rejects", "signature": token, "on_bad_signature": "reject"},
        {
            "name": "quarantines",
            "path": "/c/quarantines",
            "signature": token,
            "on_bad_signature": "dead_letter",
        },
    ]


def certificate(place: Path) -> Path:
    """A certificate that expires in 30 days."""
    path = place / "site.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=click.test",
         "-keyout", str(place / "site.key"), "-out", str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


def shown(place: Path, kafka: KafkaBroker, topic: str) -> list[tuple[str, str, list[Series]]]:
    """Panel, expression and the series it gives, for a daemon that is under load with both sinks."""
    admin = free_port()
    spill = place / "ingestd.spill"
    spill.write_text("one request\n")
    daemon = KafkaDaemon(
        place, kafka.bootstrap, sources=sources(place), kafka={"topic": topic},
        file={"directory": str(place / "clicks"), "rotate_bytes": "256KiB"},
    )  # fmt: skip
    daemon.configure(
        admin={
            "listen": f"tcp:127.0.0.1:{admin}",
            "spill_log": str(spill),
            "certificates": [str(certificate(place))],
        }
    )
    ledger = Ledger()
    with daemon, Prometheus(place, f"127.0.0.1:{admin}") as prometheus:
        ready = "count_over_time(ingestd_ready[1m])"
        with Load(daemon.socket, ledger, connections=8, pace=0.005):
            ledger.wait_for_acks(ACKS)
            for path in ("/c/rejects?n=1", "/c/quarantines?n=1", "/none"):
                ask(daemon.socket, request(path))
            seen = 0.0
            while seen < SCRAPES:
                ledger.wait_for_acks(100)
                seen = max((value for _, value in prometheus.query(ready)), default=0.0)
            found = [(title, text, prometheus.query(text)) for title, text in queries()]
        errors = prometheus.rule_errors()
    assert errors == {}, errors
    return found


def main() -> int:
    """The command. Returns 1 where a query gives nothing, 2 where something is missing."""
    if reason := why_not() or ("" if shutil.which("openssl") else "openssl is missing"):
        print(reason, file=sys.stderr)
        return 2
    empty = 0
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, open_place() as place:
        try:
            with KafkaBroker(Path(folder)) as broker:
                topic = broker.create_topic("clicks", partitions=2)
                for title, expression, series in shown(place, broker, topic):
                    print(f"{title}\n  {expression}")
                    for labels, value in series[:5]:
                        named = ", ".join(
                            f"{key}={text}" for key, text in labels.items() if key != "__name__"
                        )
                        print(f"    {value:>14.6g}  {named}")
                    if not series:
                        print("    (nothing)")
                        empty += title not in MAY_BE_EMPTY
        except KafkaUnavailableError as error:
            print(f"no broker: {error}", file=sys.stderr)
            return 2
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
