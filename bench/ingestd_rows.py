"""ingestd itself: answering at once, answering when stored, and writing to Kafka."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path

from bench import interpreter
from bench.contenders import ROTATE_BYTES, Contender, Place, Stored
from bench.mix import PUBLIC_BASE, SIGN_KEYS
from bench.paths import ROOT
from bench.procs import BenchError

SOURCES = {  # name: path; the same feeds as in contenders/clicklog
    "ocean": ("/c/ocean", "click", "callback_param", "ts"),
    "kuaishou": ("/c/kuaishou", "click", "callback", "ts"),
    "gdt": ("/c/gdt", "click", "click_id", "click_time"),
    "baidu": ("/c/baidu", "click", "click_id", "ts"),
    "weibo": ("/c/weibo", "click", "IMP", "clicktime"),
    "bili": ("/c/bili", "click", "trackid", "click_ts"),
    "oppo": ("/c/oppo", "click", "adid", "timestamp"),
    "xiaomi": ("/c/xiaomi", "click", "callback", "click_time"),
    "vivo": ("/c/vivo", "click", "requestId", "clickTime"),
    "adjust": ("/p/adjust", "postback", "click_id", "click_time"),
}


def sources(keys: Path | None = None) -> str:
    """Return the configuration of the request mix's sources.

    `keys`: a folder for the files with the signing keys; without it no signature is verified.
    """
    return "".join(_source(name, keys) for name in SOURCES)


def _source(name: str, keys: Path | None) -> str:
    path, kind, click_id, moment = SOURCES[name]
    text = (
        f'\n[[source]]\nname = "{name}"\npath = "{path}"\ntype = "{kind}"\n'
        f'dedup = ["{click_id}"]\nevent_time = {{ param = "{moment}" }}\n'
    )
    key = SIGN_KEYS.get(f"{path}/")
    if key is None or keys is None:
        return text
    file = keys / f"{name}.key"
    file.touch(mode=0o600)
    file.write_text(key + "\n", encoding="utf-8")
    return f'{text}keep_raw = "always"\nsignature = {{ kind = "md5_url_key", key_file = "{file}" }}\n'


def config(place: Place, ack: str, sink: str) -> str:
    """Return a whole configuration around a sink's sections."""
    return f"""\
[ingest]
listen = "unix:{place.socket}"
ack = "{ack}"
instance = "bench"
public_base = "{PUBLIC_BASE}"

[flush]
interval = "200ms"
max_events = 5000

[admin]
listen = "tcp:127.0.0.1:{place.port}"
{sink}{sources(place.work)}"""


class Ingestd(Contender):
    """ingestd with the file sink, in one of its ack modes."""

    def __init__(self, ack: str, what: str, checkout: Path = ROOT) -> None:
        self.name = f"ingestd {ack}" if checkout == ROOT else f"{checkout.name} {ack}"
        self.what = what if checkout == ROOT else f"{what}, from {checkout}"
        self._ack = ack
        self._checkout = checkout

    def absent(self) -> str | None:
        found = (self._checkout / "ingestd" / "__init__.py").exists()
        return None if found else f"{self._checkout} is no checkout of ingestd"

    def sink(self, place: Place) -> str:
        """Return the sink's sections."""
        return f"""
[file]
directory = "{place.out}"
rotate_bytes = "{ROTATE_BYTES >> 20}MiB"
compress = "none"
"""

    def command(self, place: Place) -> list[str]:
        place.out.mkdir()
        file = place.work / "ingestd.toml"
        file.write_text(config(place, self._ack, self.sink(place)), encoding="utf-8")
        return [interpreter.installed(self._checkout).ingestd, "serve", "-c", str(file)]

    def admin(self, place: Place) -> tuple[int, ...]:
        return (place.port,)

    def env(self) -> dict[str, str]:
        return interpreter.installed(self._checkout).env()

    def stored(self, place: Place, known: set[str]) -> Stored:
        """Count as for the others, and see how small the events become in Kafka and in finished files."""
        kept = super().stored(place, known)
        first = min(place.out.glob("*.ndjson*"))
        here = interpreter.installed(ROOT)
        command = [here.python, "-m", "bench.packed", str(first)]
        done = subprocess.run(command, env=here.env(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"cannot pack {first}: {done.stderr.strip()}")
        kept.figures |= json.loads(done.stdout)
        return kept


class IngestdKafka(Ingestd):
    """ingestd writing to a broker that is there already; its cost is ingestd's own, not the broker's."""

    def __init__(self, bootstrap: str | None) -> None:
        super().__init__("queued", "events go straight to Kafka; the broker's own CPU is not counted")
        self.name = "ingestd kafka"
        self._bootstrap = bootstrap
        self._topic = ""

    def absent(self) -> str | None:
        return super().absent() or (None if self._bootstrap else "no broker given: --kafka HOST:PORT")

    def sink(self, place: Place) -> str:
        self._topic = f"bench-{uuid.uuid4().hex[:12]}"
        return f"""
[kafka]
bootstrap = ["{self._bootstrap}"]
topic = "{self._topic}"

[spool]
directory = "{place.work}/spool"
"""

    def command(self, place: Place) -> list[str]:
        command = super().command(place)
        self._ask("create")
        return command

    def stored(self, place: Place, known: set[str]) -> Stored:
        """Ask the broker how many records the topic has; their contents are not looked at."""
        events, partitions = map(int, self._ask("count").split())
        return Stored(events, 0, figures={"partitions": partitions})

    def _ask(self, what: str) -> str:
        here = interpreter.installed(ROOT)
        command = [here.python, "-m", "bench.kafka_topic", what, str(self._bootstrap), self._topic]
        done = subprocess.run(
            command, env=here.env(), capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise BenchError(f"cannot {what} {self._topic}: {done.stderr.strip()[-500:]}")
        return done.stdout
