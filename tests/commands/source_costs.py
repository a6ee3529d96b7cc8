"""What each thing a source can be asked for costs, per request. A command, not a test:

    python -m tests.commands.source_costs

`decode`: `Source.events` alone over the shipped example callbacks. `whole`: a request's bytes on a connection
to its entry in the buffer and its reply, all of ingestd's own work but the socket's and the sink's. The least
of many short runs, in turn, so that a busy machine counts as little as can be.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ingestd.http.connection import Connection, ServerState
from ingestd.http.parser import Limits
from ingestd.http.request import Headers, Request
from ingestd.intake import Intake
from ingestd.pipeline.buffer import Buffer
from ingestd.pipeline.counters import Counters
from ingestd.sources.router import Router
from tests.support.desk import Desk, secret
from tests.support.platforms.cases import SAMPLES

PLENTY = 1 << 40
RUNS, TIMES = 300, 50
KEYS = "test-akey-0001="
VARIANTS = {
    "generic": "",
    "with event_time and dedup": 'event_time = { param = "ts" }\ndedup = ["click_id"]',
    "with dedup": 'dedup = ["click_id"]',
    "with dedup and a window of 100,000": 'dedup = ["click_id"]\ndedup_window = 100000',
    "signed, md5_url_key": 'signature = { kind = "md5_url_key", key_file = "k" }\nkeep_raw = "odd"',
    "signed, and raw kept": 'signature = { kind = "md5_url_key", key_file = "k" }',
    "token in the query": 'signature = { kind = "token", param = "sign", key_file = "token" }',
    "a wrong token, rejected": 'signature = { kind = "token", param = "sign", key_file = "k" }\n'
    'on_bad_signature = "reject"',
    "a wrong signature, rejected": 'signature = { kind = "md5_url_key", key_file = "token" }\n'
    'on_bad_signature = "reject"',
    "a wrong signature, flagged": 'signature = { kind = "md5_url_key", key_file = "token" }',
    "with a Kafka key": 'key = ["oaid"]',
    "with a rate": "max_rate = 1e9",
    "with privacy of two parameters": 'privacy = { oaid = "sha256", imei_md5 = "drop" }',
    "with truncated addresses": 'address_privacy = "truncate_ip"\nip_param = "ip"',
}


class Nowhere(asyncio.Transport):
    """Takes replies and forgets them."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass


def least(works: list[Callable[[], object]]) -> list[float]:
    """The least microseconds each took, measured in turn."""
    best = [float("inf")] * len(works)
    for _ in range(RUNS):
        for place, work in enumerate(works):
            began = time.perf_counter()
            for _ in range(TIMES):
                work()
            best[place] = min(best[place], (time.perf_counter() - began) / TIMES * 1e6)
    return best


def desk(place: Path, more: str) -> Desk:
    return Desk(f'[[source]]\nname = "x"\npath = "/c"\n{more}\n', place)


def decode(place: Path) -> None:
    """Each example callback, as a generic source decodes it."""
    plain = desk(place, "")
    headers = Headers({b"X-Forwarded-For": b"203.0.113.9", b"User-Agent": b"ad-callback/1.0"})
    total = 0.0
    for name, url in SAMPLES.items():
        raw = url.partition("?")[2].encode()
        request = Request(b"GET", b"/c/demo/app42?" + raw, headers, b"")
        (took,) = least([partial(plain.made, request, "203.0.113.9")])
        total += took
        print(f"  {name:14} {len(raw):4} bytes {took:6.2f} us")
    print(f"  {'mean':14} {'':10} {total / len(SAMPLES):6.2f} us")


def whole(place: Path) -> None:
    """One signed request, through a whole connection, by every variant of its source."""
    works = [_connection(desk(place, more)) for more in VARIANTS.values()]
    took = least(works)
    for name, micros in zip(VARIANTS, took, strict=True):
        print(f"  {name:32} {micros:6.2f} us  {micros / took[0]:5.2f} x  {micros - took[0]:+6.2f} us")


def _connection(made: Desk) -> Callable[[], object]:
    buffer = Buffer(PLENTY, 1 << 30, PLENTY)
    counters = Counters()
    intake = Intake(Router(made.sources), counters, buffer, ack_stored=False)
    connection = Connection(ServerState(intake.take, Limits(), counters.refuse, 1 << 20))
    connection.connection_made(Nowhere())
    target = SAMPLES["baidu signed"].removeprefix("https://trk.example.com")
    wire = (
        f"GET {target} HTTP/1.1\r\nHost: trk.example.com\r\nX-Real-IP: 203.0.113.9\r\n"
        "X-Forwarded-For: 203.0.113.9\r\nUser-Agent: ad-callback/1.0\r\nAccept: */*\r\n\r\n"
    ).encode()
    before, after = wire.split(b"-194570134185690940_")
    numbers = itertools.count(194570134185690940)

    def work() -> None:
        # A new id each time: a window is to be paid for what it has not seen.
        connection.data_received(b"%b-%d_%b" % (before, next(numbers), after))
        if len(buffer_of(buffer)) > 5000:
            buffer_of(buffer).clear()

    return work


def buffer_of(buffer: Buffer) -> list[object]:
    """The entries of the open batch, to be thrown away from time to time."""
    batch = buffer._open
    return batch.entries if batch is not None else []  # type: ignore[return-value]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        secret(place, "k", KEYS)
        secret(place, "token", "0ede828d475a87fce7c2e5319a7dd22a")
        print("decode")
        decode(place)
        print("whole")
        whole(place)


if __name__ == "__main__":
    main()
