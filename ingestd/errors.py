"""The family of errors that ingestd raises on purpose. Any other exception is a bug.

| error | where it ends |
|---|---|
| RequestRefusedError | A response; `http.responses.REFUSALS` has its status and text. Counted, not logged. |
| SinkError | 503 for the requests that wait (stored mode) or a retry (queued mode); logged as an error. |
| ConfigError | Exit status 78 with every problem; at a reload logged as an error, and the old one stays. |
| any other IngestdError | Its message on stderr, exit status 1. |
| a bug | 500 for its request; in a sink, 500 for its batch; in another background task a graceful shutdown. |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class IngestdError(Exception):
    """Base of every error that ingestd raises on purpose; its message is written for an operator."""


class RequestRefusedError(IngestdError):
    """A request that does not become an event. `reason` is a key of `http.responses.REFUSALS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SinkError(IngestdError):
    """A sink could not make a batch durable. None of its events counts as stored."""


class ListenError(IngestdError):
    """A listening socket cannot be opened; the message says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration: where (a dotted key), what, and what to write instead."""

    key: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.what}" + (f"; {self.hint}" if self.hint else "")


class ConfigError(IngestdError):
    """A configuration that cannot be used. `problems`: all of them, not only the first."""

    def __init__(self, origin: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(f"{origin}: {problem}" for problem in problems))
        self.origin = origin
        self.problems = tuple(problems)
