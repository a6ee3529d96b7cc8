"""The broker's configuration: listeners, ports, users, and what makes it start fast and stay small."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.kafka.tls import TestCa

HOST = "127.0.0.1"
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# Below the ephemeral range (32768 up), so that no outgoing connection takes a broker's port while it is down.
PORTS = range(20000, 32000)


def free_port() -> int:
    """A loopback port that nobody listens on and no outgoing connection will be given."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port on {HOST} among {PORTS}")


@dataclass
class BrokerSettings:
    """Everything server.properties is made of; ports are chosen once and kept over restarts."""

    workdir: Path
    data_dir: Path
    sasl: bool = False
    ca: TestCa | None = None
    users: dict[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(init=False)
    proxy_port: int = field(init=False, default_factory=free_port)
    """What PROXIED advertises: clients that bootstrap there must pass a proxy listening on this port."""

    def __post_init__(self) -> None:
        names = ["CONTROLLER", "PLAINTEXT", "PROXIED"]
        names += ["SASL_PLAINTEXT"] if self.sasl else []
        names += ["SSL"] if self.ca else []
        names += ["SASL_SSL"] if self.sasl and self.ca else []
        self.ports = {name: free_port() for name in names}

    def write(self, path: Path) -> None:
        """Write server.properties."""
        lines = self._listeners() | self._single_node() | self._small() | self._sasl() | self._tls()
        lines |= dict(self.extra)
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    def _listeners(self) -> dict[str, str]:
        advertised = self.ports | {"PROXIED": self.proxy_port}
        protocols = {"CONTROLLER": "PLAINTEXT", "PROXIED": "PLAINTEXT"}
        return {
            "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in self.ports.items()),
            "advertised.listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in advertised.items()),
            "listener.security.protocol.map": ",".join(f"{n}:{protocols.get(n, n)}" for n in self.ports),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.quorum.bootstrap.servers": f"{HOST}:{self.ports['CONTROLLER']}",
        }

    def _single_node(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "log.dirs": str(self.data_dir),
            "metadata.log.dir": str(self.workdir / "metadata"),
            "auto.create.topics.enable": "false",
            # Tests write timestamps of any year; 7 days' retention would delete such records soon.
            "log.retention.ms": "-1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker may register again only once its last session is over: 9 s by default.
            # Much less, and a broker starved of CPU for a moment loses its partitions' leadership.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "200",
        }

    @staticmethod
    def _small() -> dict[str, str]:
        return {
            "num.network.threads": "2",
            "num.io.threads": "4",
            "background.threads": "2",
            "num.recovery.threads.per.data.dir": "1",
            "log.cleaner.dedupe.buffer.size": "2097152",
        }

    def _sasl(self) -> dict[str, str]:
        if not self.sasl:
            return {}
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        users = "".join(f' user_{name}="{password}"' for name, password in self.users.items())
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        lines = {}
        for listener in (name.lower() for name in self.ports if name.startswith("SASL_")):
            lines[f"listener.name.{listener}.sasl.enabled.mechanisms"] = ",".join(SASL_MECHANISMS)
            lines[f"listener.name.{listener}.plain.sasl.jaas.config"] = f"{plain}{users};"
            for mechanism in SASL_MECHANISMS[1:]:
                lines[f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"] = scram
        return lines

    def _tls(self) -> dict[str, str]:
        if self.ca is None:
            return {}
        return {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(self.ca.server_pem)}
