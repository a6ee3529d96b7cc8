"""ingestd with the Kafka sink, as the tests run it: time-outs short enough to be outlasted."""

from __future__ import annotations

import operator
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tests.support.daemon import Daemon, toml
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.clients import Record, bounds
from tests.support.waiting import FAR, at_most, until

DEMO = ({"name": "demo", "path": "/c/demo"},)
REQUEST_TIMEOUT = round(at_most(1.0), 1)  # a broker on a busy machine is slow, not away
# What every test has; each is shorter than the faults the tests make.
QUICK = {
    "request_timeout": f"{REQUEST_TIMEOUT:g}s",
    "direct_timeout": "500ms",
    "linger": "20ms",
    "topic": "clicks",
}


class KafkaDaemon(Daemon):
    """One instance whose only sink is Kafka, unless `file` is asked for."""

    def __init__(
        self,
        place: Path,
        bootstrap: str,
        *,
        name: str = "0",
        sources: Sequence[Mapping[str, object]] = DEMO,
        kafka: Mapping[str, object] | None = None,
        **sections: Mapping[str, object],
    ) -> None:
        self.spool = place / "spool"
        self.dead = place / "dead"
        mine = {"bootstrap": [bootstrap], **QUICK, "dead_letter_directory": str(self.dead), **(kafka or {})}
        spool = {"directory": str(self.spool), **sections.pop("spool", {})}
        super().__init__(place, name=name, sources=sources, kafka=mine, spool=spool, **sections)

    def configure(
        self, *, sources: Sequence[Mapping[str, object]] | None = None, **sections: Mapping[str, object]
    ) -> None:
        """As the base class, and without a file sink where nobody asked for one."""
        self._sources = self._sources if sources is None else sources
        base: dict[str, dict[str, object]] = {
            "ingest": {"listen": f"unix:{self.socket}", "socket_group": "", "instance": self.name},
            "admin": {"listen": f"unix:{self.admin}"},
        }
        if self.socket.parent.stat().st_uid == 0:
            base["ingest"]["socket_group"] = "www-data"
        for source in (self._sections, sections):
            for section, keys in source.items():
                base.setdefault(section, {}).update(keys)
        self.config.write_text(toml(base, self._sources))

    def change(self, **kafka: object) -> None:
        """Other [kafka] settings from the next HUP or start on."""
        self._sections = {**self._sections, "kafka": {**self._sections["kafka"], **kafka}}
        self.configure()

    def signal_reload(self) -> None:
        """HUP."""
        self.signal(signal.SIGHUP)

    # what it shows

    def wait_delivering(self) -> None:
        """Wait until more events have arrived than now."""
        now = self.delivered()
        until(lambda: self.delivered() > now, "a delivery")

    def delivered(self) -> float:
        """Events Kafka has confirmed in this run."""
        return sum(
            value
            for name, value in self.metrics().items()
            if name.startswith("events_delivered_total{") and 'sink="kafka"' in name
        )

    def kafka_status(self) -> dict[str, Any]:
        """/status of the sink."""
        found: dict[str, Any] = self.status()["sinks"]["kafka"]
        return found

    def spooled(self) -> int:
        """Events on their way to Kafka, and those of an earlier run, in bytes if nothing else is known."""
        return int(self.metrics()["spool_bytes"])

    def drained(self, timeout: float = FAR) -> None:
        """Wait until nothing is left in the spool, and nothing on its way to it."""
        until(lambda: self.spooled() == 0, "an empty spool", timeout)

    def dead_letters(self) -> list[bytes]:
        """The lines of the dead letter files."""
        return [
            line for path in sorted(self.dead.glob("*.ndjson")) for line in path.read_bytes().splitlines()
        ]


def assert_accounts_balance(daemon: Daemon) -> None:
    """stored + recovered == delivered + spooled + dead letters, for each source. Nothing may be under way."""
    for name, source in daemon.status()["sources"].items():
        balance = (
            source["delivered"].get("kafka", 0) + source["spooled"] + sum(source["dead_lettered"].values())
        )
        assert source["stored"] + source["recovered"] == balance, (name, source)


def once_by_id(records: Iterable[Record]) -> tuple[list[bytes], int]:
    """The values without repeats, and how many repeats there were; fails where a repeat is not identical."""
    seen: dict[bytes | None, bytes] = {}
    repeats = 0
    for record in records:
        identity = dict(record.headers)["id"]
        value = record.value or b""
        if identity in seen:
            assert seen[identity] == value, "two events of one id"
            repeats += 1
        seen[identity] = value
    return list(seen.values()), repeats


def committed_to_the_end(kafka: KafkaBroker, topic: str) -> None:
    """Wait until a read_committed reader may see all there is.

    A commit is answered before its markers are written to the partitions; without one kept open nothing else
    is in the way of such a reader. It has come past what is there now once it has seen the markers.
    """
    written = _ends(kafka, topic, "read_uncommitted")

    def seen() -> bool:
        return all(map(operator.ge, _ends(kafka, topic, "read_committed"), written))

    if not seen():
        print(f"{topic}: markers of a commit are still to come")
    until(seen, "the markers of a commit")


def _ends(kafka: KafkaBroker, topic: str, isolation: str) -> list[int]:
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": "ends", "isolation.level": isolation}
    with closing(Consumer(settings)) as consumer:
        found = consumer.list_topics(topic, timeout=FAR).topics[topic].partitions
        return [bounds(consumer, TopicPartition(topic, one))[1] for one in sorted(found)]


def header(record: Record, name: str) -> bytes | None:
    """A header's value."""
    return dict(record.headers)[name]


def make_topics(kafka: KafkaBroker, *names: str, partitions: int = 3) -> None:
    """Topics of a test, and its checkpoint topic where the name says so."""
    for name in names:
        compact = {"cleanup.policy": "compact"} if "checkpoint" in name else None
        kafka.create_topic(name, 1 if compact else partitions, compact)
