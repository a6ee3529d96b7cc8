"""The conservation oracle: what was answered with success is in the files exactly as it was sent.

Everything a request holds follows from its number, so nothing but the number has to be remembered: the
ledger keeps one byte a number (its fate), the oracle one byte more (which of its events were seen).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from tests.support.waiting import FAR
from tests.support.wire import request

PATH = "/c/demo"
ROUTE = "app42"
SENT, ACKED, REFUSED, UNANSWERED = range(4)

# Text as platforms send it: escapes, a macro left in, a blank value, ids of 19 digits.
TAIL = "cid_name=%E6%8A%96%E9%9F%B3-36%25&imei=__IMEI__&idfa=&aid=7239924572828155962"
TAIL_PARAMS = {"cid_name": "抖音-36%", "imei": "__IMEI__", "idfa": "", "aid": "7239924572828155962"}


def filler(number: int, part: int = 0) -> str:
    """Hexadecimal text of 32 to 542 characters that no other event has."""
    digest = blake2b(b"%d.%d" % (number, part), digest_size=16).digest()
    return digest.hex() + digest.hex()[2:4] * digest[0]


def parts(number: int) -> int:
    """How many events request `number` is: one in ten is a JSON array of three, one NDJSON of two lines."""
    return {0: 3, 1: 2}.get(number % 10, 1)


def build(number: int) -> bytes:
    """The bytes of request `number`: mostly a GET, else an array, NDJSON or a form."""
    kind = number % 10
    target = f"{PATH}/{ROUTE}"
    if kind > 2:
        return request(f"{target}?n={number}&p={filler(number)}&{TAIL}")
    if kind == 2:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return request(target, "POST", headers, f"n={number}&p={filler(number)}&{TAIL}".encode())
    bodies = [orjson.dumps(_body(number, part)) for part in range(parts(number))]
    if kind == 0:
        return request(target, "POST", {"Content-Type": "application/json"}, b"[" + b", ".join(bodies) + b"]")
    return request(target, "POST", {"Content-Type": "application/x-ndjson"}, b"\n".join(bodies))


def _body(number: int, part: int) -> dict[str, object]:
    return {"n": number, "part": part, "p": filler(number, part)}


def expected(number: int, part: int) -> dict[str, object]:
    """Those fields of the event that follow from the number."""
    simple = number % 10 >= 2
    fields: dict[str, object] = {"source": "demo", "route": ROUTE, "path": f"{PATH}/{ROUTE}"}
    fields["method"] = "GET" if number % 10 > 2 else "POST"
    fields["params"] = {"n": str(number), "p": filler(number), **TAIL_PARAMS} if simple else {}
    fields["body"] = None if simple else _body(number, part)
    return fields


class Ledger:
    """What was sent and how it was answered. Written by the load's thread, read by the test's."""

    def __init__(self) -> None:
        self.fate = bytearray()
        self.acks = 0
        self.statuses: Counter[int] = Counter()
        self.unanswered = 0
        self.last_refusal: dict[int, bytes] = {}  # a status to the head of the last such reply
        self._wanted: tuple[int, threading.Event] | None = None
        self._changed = threading.Condition()

    @property
    def sent(self) -> int:
        return len(self.fate)

    @property
    def in_flight(self) -> int:
        return self.sent - sum(self.statuses.values()) - self.unanswered

    @property
    def refused(self) -> int:
        return sum(self.statuses.values()) - self.acks

    def next(self) -> int:
        """The number of the next request."""
        self.fate.append(SENT)
        return len(self.fate) - 1

    def answered(self, number: int, status: int, head: bytes) -> None:
        """Request `number` got this reply."""
        self.statuses[status] += 1
        if 200 <= status < 300:
            self.fate[number] = ACKED
            self.acks += 1
        else:
            self.fate[number] = REFUSED
            self.last_refusal[status] = head
        if self._wanted is not None and self._wanted[0] in (0, status):
            self._wanted[1].set()

    def lost(self, number: int) -> None:
        """The connection broke before the reply to request `number`."""
        self.fate[number] = UNANSWERED
        self.unanswered += 1

    def wait_for_acks(self, count: int, timeout: float = FAR) -> None:
        """Wait until there are `count` more successes than now. Raises TimeoutError: none for `timeout` s."""
        self._wait(0, lambda: self.acks, count, timeout, f"{count} more acks")

    def wait_for_status(self, status: int, count: int = 1, timeout: float = FAR) -> None:
        """Wait until there are `count` more replies of this status than now. Raises TimeoutError as above."""
        self._wait(status, lambda: self.statuses[status], count, timeout, f"{count} more replies {status}")

    def _wait(self, status: int, seen: Callable[[], int], count: int, timeout: float, what: str) -> None:
        event = threading.Event()
        self._wanted = (status, event)
        latest = seen()
        goal, deadline = latest + count, time.monotonic() + timeout
        while (now := seen()) < goal:
            if now > latest:
                latest, deadline = now, time.monotonic() + timeout
            if not event.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                raise TimeoutError(f"no {what} in {timeout} s; so far {dict(self.statuses)}")
            event.clear()
        self._wanted = None


@dataclass
class Verdict:
    """What the files hold, held against the ledger. Numbers are requests' numbers."""

    acked: int = 0
    events: int = 0
    missing: list[int] = field(default_factory=list)  # answered with success, not (wholly) in the files
    altered: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    lost_events: int = 0  # how many events the missing requests lack
    same_id: int = 0  # lines with an event id another line has
    # No fault: nothing was promised.
    repeated: int = 0  # events stored again because nginx sent the request again
    unknown: int = 0  # requests in the files though not answered with success
    torn: int = 0  # of these, arrays of which only some elements are there

    def problems(self) -> list[str]:
        """What must never be; [] is a pass."""
        found = [
            f"{len(value)} {name}: {value[:5]}"
            for name, value in vars(self).items()
            if isinstance(value, list) and value
        ]
        return found + ([f"{self.same_id} lines with an id that was there already"] if self.same_id else [])


class Oracle:
    """Reads files as they are finished, then gives its verdict."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = bytearray()
        self._ids: set[bytes] = set()
        self._verdict = Verdict()

    def read(self, lines: Iterable[bytes]) -> None:
        """Take the lines of one file. No file may be read twice."""
        verdict = self._verdict
        for line in lines:
            verdict.events += 1
            try:
                event: dict[str, Any] = orjson.loads(line)
                number, part = self._place(event)
            except (ValueError, KeyError, TypeError) as error:
                verdict.invented.append(f"{error!r}: {line[:200]!r}")
                continue
            wanted = expected(number, part)
            wrong = [name for name, value in wanted.items() if event.get(name) != value]
            if wrong:
                verdict.altered.append(f"request {number}: {wrong}: {line[:300]!r}")
            self._count(number, part, bytes.fromhex(event["id"].replace("-", "")))

    def _place(self, event: dict[str, Any]) -> tuple[int, int]:
        holder = event["params"] if "n" in event["params"] else event["body"]
        number, part = int(holder["n"]), int(holder.get("part", 0))
        if not 0 <= number < self._ledger.sent or not 0 <= part < parts(number):
            raise ValueError(f"request {number}.{part} was never sent")
        return number, part

    def _count(self, number: int, part: int, identity: bytes) -> None:
        seen = self._seen
        if len(seen) < self._ledger.sent:
            seen.extend(bytes(self._ledger.sent - len(seen)))
        self._verdict.repeated += bool(seen[number] & 1 << part)
        seen[number] |= 1 << part
        self._verdict.same_id += identity in self._ids
        self._ids.add(identity)

    def verdict(self) -> Verdict:
        """Hold what was read against the ledger. The load must have ended."""
        result, fate = self._verdict, self._ledger.fate
        self._seen.extend(bytes(len(fate) - len(self._seen)))
        result.acked = self._ledger.acks
        result.missing, result.lost_events, result.unknown, result.torn = [], 0, 0, 0
        for number, seen in enumerate(self._seen):
            whole = (1 << parts(number)) - 1
            if fate[number] == ACKED:
                if seen != whole:
                    result.missing.append(number)
                    result.lost_events += (whole & ~seen).bit_count()
            elif seen:
                result.unknown += 1
                result.torn += seen != whole
        return result
