"""A real Apache Kafka: one KRaft node that keeps its ports and its data over restarts."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from types import TracebackType
from typing import Self

from tests.support.kafka.clients import Admin, Isolation, Record, consume_all, wait_until
from tests.support.kafka.install import Installation, installation
from tests.support.kafka.process import GuardedProcess
from tests.support.kafka.settings import HOST, BrokerSettings
from tests.support.kafka.tls import TestCa
from tests.support.waiting import FAR

STOP_GRACE = 20.0
JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable")


class BrokerFailedError(Exception):
    """The broker ended or did not answer in time; the message has the end of its log."""


class KafkaBroker:
    """Made stopped; `start` formats the storage the first time and returns once the broker answers.

    Raises KafkaUnavailableError where no real broker can run.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        data_dir: Path | None = None,
        sasl: bool = False,
        tls: bool = False,
        users: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """`data_dir` holds the partitions alone (a tiny tmpfs, say); `config` overrides broker settings."""
        self.installation: Installation = installation()
        workdir.mkdir(parents=True, exist_ok=True)
        self.workdir = workdir
        self.log = workdir / "broker.log"
        self.ca = TestCa(workdir / "tls") if tls else None
        self._settings = BrokerSettings(
            workdir, data_dir or workdir / "data", sasl, self.ca, dict(users or {}), config or {}
        )
        self._properties = workdir / "server.properties"
        self._new_archive: Path | None = None
        self._formatted = False
        self._paused = False
        self._process: GuardedProcess | None = None
        self.admin = Admin(self.bootstrap)

    @property
    def bootstrap(self) -> str:
        """host:port of the plaintext listener."""
        return self.address("PLAINTEXT")

    @property
    def proxy_port(self) -> int:
        """Where clients of the PROXIED listener are told to come."""
        return self._settings.proxy_port

    @property
    def proxied_port(self) -> int:
        """Where the proxy reaches the PROXIED listener."""
        return self._settings.ports["PROXIED"]

    def address(self, listener: str) -> str:
        """host:port of PLAINTEXT, SASL_PLAINTEXT, SSL or SASL_SSL. Raises KeyError if not asked for."""
        return f"{HOST}:{self._settings.ports[listener]}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def running(self) -> bool:
        return self._process is not None and self._process.running()

    def start(self) -> None:
        """Start, again after stop or kill, on the same data and ports. Raises BrokerFailedError."""
        if self.running():
            return
        self._settings.write(self._properties)
        first_time = not self._formatted
        if first_time:
            self._format()
        self._process = GuardedProcess(self._command(), self.log)
        self._paused = False
        try:
            self._await_answer(self._process)
            if first_time:
                self._create_users()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop in order (SIGTERM), by force after 20 s."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate(STOP_GRACE)
        self._process = None
        if self._new_archive is not None and self._new_archive.exists():
            self._new_archive.replace(self.installation.class_archive)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, no client is told."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Stop in order and start."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        if self._process is not None:
            self._process.signal_group(SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._process.signal_group(SIGCONT)
            self._paused = False

    def ensure_running(self) -> None:
        """Make good whatever a test did to the broker."""
        if self._paused:
            self.resume()
        if self._process is not None and self._process.running():
            self._await_answer(self._process)
        else:
            self.kill()
            self.start()

    def wait_exit(self, timeout: float) -> int:
        """Wait for the broker to end by itself. Raises subprocess.TimeoutExpired."""
        if self._process is None:
            raise BrokerFailedError("the broker is not running")
        status = self._process.wait(timeout)
        self._process = None
        return status

    def create_topic(self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> str:
        self.admin.create_topic(name, partitions, configs or {})
        return name

    def alter_topic(self, name: str, configs: Mapping[str, str]) -> None:
        self.admin.alter_topic(name, configs)

    def delete_topic(self, name: str) -> None:
        self.admin.delete_topic(name)

    def consume_all(self, topic: str, isolation: Isolation = "read_committed") -> list[Record]:
        return consume_all(self.bootstrap, topic, isolation)

    def set_password(self, user: str, password: str) -> None:
        """Create a user or change the password: SCRAM at once, PLAIN from the next start on."""
        self._settings.users[user] = password
        self.admin.set_scram_password(user, password)

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        archive = self.installation.class_archive
        self._new_archive = (
            None if archive.exists() else archive.with_name(f"{archive.name}.{secrets.token_hex(4)}")
        )
        option = f"-XX:ArchiveClassesAtExit={self._new_archive}" if self._new_archive else "-Xshare:auto"
        return self._java("kafka.Kafka", str(self._properties), jvm=option)

    def _java(self, main: str, *arguments: str, jvm: str = "-Xshare:auto") -> list[str]:
        found = self.installation
        shared = [f"-XX:SharedArchiveFile={found.class_archive}"] if found.class_archive.exists() else []
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [found.java, *JVM, *shared, jvm, quiet, "-cp", found.classpath, main, *arguments]

    def _format(self) -> None:
        cluster = secrets.token_urlsafe(16)
        command = self._java("kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster}")
        command += ["--config", str(self._properties)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=FAR, check=False)
        if done.returncode != 0:
            raise BrokerFailedError(
                f"formatting the storage failed: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        self._formatted = True

    def _await_answer(self, process: GuardedProcess) -> None:
        def answers() -> bool:
            if not process.running():
                raise BrokerFailedError(f"the broker ended; its log ends:\n{self.log_tail()}")
            return self.admin.answers(1.0)

        try:
            wait_until(answers, "the broker answers", FAR)
        except TimeoutError as error:
            raise BrokerFailedError(f"{error}; its log ends:\n{self.log_tail()}") from None

    def _create_users(self) -> None:
        for user, password in self._settings.users.items():
            self.admin.set_scram_password(user, password)
