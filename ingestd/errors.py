"""The family of errors ingestd raises on purpose; anything else is a bug of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class IngestdError(Exception):
    """Base of every error ingestd raises on purpose."""


class RequestRefusedError(IngestdError):
    """A request that is no event. `reason` is a key of `replies.REFUSALS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SinkError(IngestdError):
    """A sink could not make a batch durable; nothing of the batch counts as stored."""


class ListenError(IngestdError):
    """A socket cannot be had; the message says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration: where (a dotted key), what, and what to write instead."""

    key: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.what}" + (f"; {self.hint}" if self.hint else "")


class ConfigError(IngestdError):
    """A configuration that cannot be used; carries every problem found, not only the first."""

    def __init__(self, origin: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(f"{origin}: {problem}" for problem in problems))
        self.origin = origin
        self.problems = tuple(problems)
