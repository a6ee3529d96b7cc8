"""Feeds the compiled lines, built with the sanitizers (see fuzz_scan), with made-up requests.

Each line is compared with the one that the general path makes of the same request, byte for byte but for its
id, and so are the counters. To run it for ten minutes:

    nice python -m tests.commands.fuzz_line --seconds 600

A failing request and its seed are printed; exit status 1.
"""

from __future__ import annotations

import itertools
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from unittest import mock

from ingestd.errors import RequestRefusedError
from ingestd.http.request import Headers, Request
from tests.commands import fuzz_scan
from tests.support import compiled
from tests.support.daemon import ROOT
from tests.support.desk import CLIENT, NOW_MS, Desk, secret

SOURCE = ROOT / "ingestd/sources/_line.c"
VARIANTS = compiled.variants("-DSTACK_BYTES=64", "-DLINE_BYTES=64")
# Sources that between them use all that the compiled way knows. Names are those of fuzz_scan's queries.
CONFIGURATIONS = {
    "nothing": "",
    "a click id": 'dedup = ["a"]\nkeep_raw = "always"',
    "several of one": """dedup = ["a+b+absent", "b", 'q"t+a+你', "你", "ts+c d"]
        event_time = { param = "ts" }
        volatile = ["ip", "ts"]
        """,
    "seconds": 'event_time = { param = "ts", unit = "s", stale_after = "1h", future_after = "0s" }\n'
    'volatile = ["a"]\nkeep_raw = "never"\nmax_rate = 1e9',
    "milliseconds": 'event_time = { param = "ts", unit = "ms", stale_after = "0s", future_after = "1s" }',
    "signed": 'signature = { kind = "md5_url_key", key_file = "k" }\ndedup = "b"',
    "signed, raw never kept": """keep_raw = "never"
        event_time = { param = 'q"t' }
        signature = { kind = "md5_concat", params = "a", param = "b", key_file = "k" }""",
}
_ID = re.compile(rb'(?<=,"id":")[0-9a-f-]{36}(?=","dup_key")')
_TO_ASCII = bytes(range(128)) * 2
MACROS = (
    "_", "__", "{", "{{", "{{{", "}", "}}", "$", "${", "[", "[[", "]", "]]", "%25", "%25%25", "%40", "@",
    "A", "b", "A_B", "9", ".", ":", "?", "|", "-", "!", "%5F", "Id", "null", "true", "ca",
)  # fmt: skip
FILLERS = (
    "", "0", "000000", "null", "N/A", "-1", "e3f5536a141811db40efd6400f1d0a4e", "%30", "%20", "+", "NONE",
    "(null)", "%28NULL%29", "[object%20Object]", "%22undefined%22", "nil%00", "%5CN", "--", "0.0.0.0", "%27",
    "%C2%A0", "%E3%80%80null", "%E2%84%AAnull", "un%E2%84%AAnown", "0" * 128, "0" * 129, "x" * 129,
    "D41D8CD98F00B204E9800998ECF8427E", "%EF%BC%90" * 43, "%C3%A9" * 200, "(", "00-a",
)  # fmt: skip
# Not clean: left to the general path.
RAW_MACROS = ("%CAMPAIGN_ID%", "%callback%", "%%ADVERTISER_ID%%", "%eaid!", "%ad%", "%D6a%", "%{bid_id}")
REAL = ("1", "00a", "c7fdcbc18e37da49c717feeae3afeee9", "nulls", "(1)", "x" * 127, "x" * 128, "%E4%BD%A0")
TIMES = (
    *(str(NOW_MS + away) for away in (0, 300_000, 300_001, -86_400_000, -86_400_001, -3_600_001)),
    *(str(NOW_MS // 1000 + away) for away in (0, 1, 301, -86_401)),
    *(
        "0",
        "-1",
        "+1718000000",
        "1_718",
        "%201718000000",
        "1718000000%0A",
        "1718000000+",
        "1e9",
        "1.5",
        "0x1",
    ),
    *(
        "99999999999",
        "100000000000",
        "9999999999999",
        "10000000000000",
        "999999999999999",
        "1000000000000000",
    ),
    *("9" * 30, "0" * 20 + "1718000000", "%EF%BC%91", "%D9%A1x", "NULL", "__TS__", "00", "_", "%1C1"),
)


class Asked(NamedTuple):
    """One request of a source: what `Source.events` is given."""

    query: bytes
    path: bytes = b"/c/x"
    forwarded: bytes = b"198.51.100.23"
    agent: bytes = b"platform/1.0"
    client: str = CLIENT
    method: bytes = b"GET"
    body: bytes = b""
    received_ns: int = NOW_MS * 1_000_000 + 123_456


class Twins:
    """One configuration twice: its usual lines made by a compiled module, and all of them with care.

    `place`: of the file `k`, with a key.
    """

    def __init__(self, more: str, module: ModuleType, place: Path) -> None:
        text = f'[[source]]\nname = "x"\npath = "/c"\n{more}\n'
        with mock.patch.dict(sys.modules, {"ingestd.sources._line": module}):
            self.compiled = Desk(text, place)
        with mock.patch.dict(sys.modules, {"ingestd.sources._line": None}):
            self.general = Desk(text, place)

    def compare(self, asked: Asked) -> bool:
        """Whether a request's line was made in C. AssertionError: the general path makes another."""
        line, general = line_of(self.compiled, asked), line_of(self.general, asked)
        assert _ID.sub(b"", line, 1) == _ID.sub(b"", general, 1), f"{asked}:\n{line!r}\n{general!r}"
        one, other = self.compiled.demo.summary(), self.general.demo.summary()
        assert one == other, f"{asked}:\n{one}\n{other}"
        # Only the compiled way's ids say when the event was received, and that was long ago.
        found = _ID.search(line)
        return found is not None and _milliseconds(found[0]) == asked.received_ns // 1_000_000


def line_of(desk: Desk, asked: Asked) -> bytes:
    """The line, or why there is none."""
    fields = Headers({b"X-Forwarded-For": asked.forwarded, b"User-Agent": asked.agent})
    try:
        request = Request(asked.method, asked.path + b"?" + asked.query, fields, asked.body)
        made = desk.made(request, asked.client, asked.received_ns)
    except RequestRefusedError as refused:
        return repr(refused).encode()
    assert made.count == 1
    assert made.keys is None
    return made.data


def _milliseconds(uuid: bytes) -> int:
    return int(uuid.replace(b"-", b"")[:12], 16)


def requests(rng: random.Random) -> Iterator[Asked]:
    """Made-up requests without end: most of them such as the compiled way takes."""
    for query in fuzz_scan.queries(rng):
        pairs = [query] if query and rng.random() < 0.4 else []  # few are clean
        for _ in range(rng.choice((0, 1, 1, 2, 4))):  # so names come again
            name = rng.choice(("a", "b", "ts", "ts", "q%22t", "%E4%BD%A0", "ip", "c+d", "%61"))
            made = "".join(rng.choices(MACROS, k=rng.randrange(7)))
            value = rng.choice(TIMES if name == "ts" else (made, made, rng.choice(FILLERS), "%22", "x"))
            if rng.random() < 0.02:
                value = rng.choice(RAW_MACROS)
            pairs.insert(rng.randrange(len(pairs) + 1), f"{name}={value}".encode())
        asked = Asked(b"&".join(pairs), received_ns=NOW_MS * 1_000_000 + rng.randrange(2_000_000))
        if rng.random() < 0.1:
            asked = asked._replace(
                path=b"/c/" + _bytes(rng).replace(b"?", b""), client=_bytes(rng).decode("latin-1")
            )
        if rng.random() < 0.1:
            asked = asked._replace(
                forwarded=_bytes(rng), agent=_bytes(rng), method=rng.choice((b"GET", b"POST"))
            )
        yield asked


def _bytes(rng: random.Random) -> bytes:
    made = rng.randbytes(rng.choice((0, 1, 5, 17, 300, 3000)))
    return made if rng.random() < 0.3 else made.translate(_TO_ASCII)


@contextmanager
def checking(module: ModuleType) -> Iterator[Callable[[Asked], bool]]:
    """A request's line is that of the general path, in each configuration; and whether it was made in C."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        secret(place, "k", "test-key")
        turns = itertools.cycle([Twins(more, module, place) for more in CONFIGURATIONS.values()])
        yield lambda asked: next(turns).compare(asked)


PART = compiled.Fuzzed(
    SOURCE, VARIANTS, requests, checking, "{count} requests, {own} of them made in C, all as in Python"
)

if __name__ == "__main__":
    sys.exit(compiled.main(__spec__.name, __doc__, PART))
