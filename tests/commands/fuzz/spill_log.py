"""Any line of a spill log: the request nginx wrote or one error, never a wrong one; its events are whole."""

from __future__ import annotations

import re

from ingestd.cli import spill_log
from ingestd.cli.spill_events import Converter, Round
from ingestd.cli.spill_log import BadLineError, Spilled
from tests.commands.fuzz.lines import checked
from tests.support.fakes import settings
from tests.support.spilled import escape, line

SEEDS = [
    line(b"/c/demo?a=1"),
    line(b"/c/demo/app?n=\xd6\xd0", body=b'{"a":1}', content_type=b"application/json"),
    line(b"/c/demo", b"POST", body=b"\0\t\n\"\\", extra={"X-Token": b"t"}), line(b"/elsewhere"),
    line(b"/c/demo", b"PUT"), line(b"/c/demo", raw_body=(b"5", b"abc")),
    line(b"/c/demo?a=1")[:50] + line(b"/c/demo?b=2"), b"", b"ingestd-spill-1\t", b"\t" * 14 + b".",
    line(b"/c/demo", at_ms=999_999_999_999), line(b"/c/demo", at_ms=10_000_000_000_000),
    line(b"/c/demo", body=b"[1,2]", content_type=b"application/json"), b"\1" + b"/c/demo?x\0y\n",
]  # fmt: skip
TOKENS = [
    b"\t", b"-", b".", b"\\x", b"\\x09", b"\\x0A", b"\\x22", b"\\xff", b"\\", b'"', b"ingestd-spill-1",
    b"ingestd-spill-1\t", b"\t.", b"/", b"GET", b"POST", b"0" * 32, b"1795398236.727", b"99999999999.999",
    b"0", b"X-Token:", b":", b"\0", b"\n", b"\r", b"\xd6", b"application/json", b"[1,2]",
]  # fmt: skip
MAX_BYTES = 500

_converter = Converter(settings())
_KNOWN = re.compile(rb"[ !#-~\t]*")


def once(data: bytes) -> None:
    """Read a line as it is, and one nginx would have made of these bytes."""
    work = Round(0)
    work.add(data.replace(b"\n", b"") + b"\n", _converter)
    assert len(work.entries) + len(work.bad) >= 1, "a line that came to nothing"
    for entry in work.entries:
        checked(entry.data, entry.data.count(b"\n"))
        assert b'"spilled"' in entry.data
    try:
        found: Spilled | None = spill_log.parse(data)
    except BadLineError:
        found = None
    if found is not None:
        assert data.startswith(spill_log.MARK)
        assert _KNOWN.fullmatch(data)
    target, _, body = data.partition(b"\1")
    back = spill_log.parse(line(b"/" + target, b"POST", body=body, agent=target))
    assert (back.target, back.body, back.method) == (b"/" + target, body, b"POST")
    assert spill_log.unescape(escape(data)) == data
