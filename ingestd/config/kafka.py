"""[kafka] and [spool]: the brokers and topics, and the queue on disk of what Kafka has not confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ingestd.config.types import Duration, SecretFile, Section, Size, one_or_list

HostPort = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):\d{1,5}$")]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._{}-]{1,249}$")]


class KafkaSecurityConfig(Section):
    """`kafka.security`: TLS and SASL. Secrets are files, relative to the configuration or its credentials."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username_file: SecretFile | None = None
    password_file: SecretFile | None = None
    ca_file: SecretFile | None = None
    cert_file: SecretFile | None = None
    key_file: SecretFile | None = None
    check_hostname: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.protocol.startswith("SASL") and not (self.username_file and self.password_file):
            raise ValueError(f"{self.protocol} needs username_file and password_file")
        return self


class KafkaConfig(Section):
    """[kafka]: events go straight to Kafka."""

    bootstrap: Annotated[tuple[HostPort, ...], BeforeValidator(one_or_list), Field(min_length=1)]
    topic: Topic = "clicks"
    compression: Literal["none", "gzip", "lz4", "zstd", "snappy"] = "lz4"
    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    dead_letter_topic: Topic | None = None
    dead_letter_directory: Path = Path("/var/lib/ingestd/dead")
    checkpoint_topic: Topic = "ingestd.checkpoint"
    manifest_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,249}$")] = ""
    linger: Duration = "100ms"  # type: ignore[assignment]
    round_bytes: Size = "4MiB"  # type: ignore[assignment]
    window_bytes: Size = "32MiB"  # type: ignore[assignment]
    max_batch_bytes: Size = "900KiB"  # type: ignore[assignment]
    request_timeout: Duration = "15s"  # type: ignore[assignment]
    direct_timeout: Duration = "2s"  # type: ignore[assignment]
    security: KafkaSecurityConfig = KafkaSecurityConfig()


class SpoolConfig(Section):
    """[spool]: the disk queue of what Kafka has not confirmed."""

    directory: Path = Path("/var/lib/ingestd/spool")
    max_bytes: Size = "20GiB"  # type: ignore[assignment]
    enabled: bool = True
