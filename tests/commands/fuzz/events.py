"""Any request of a source that uses everything: its lines are JSON of the schema, one an event.

An input is cut at 0xFF into method and kind, path, query, content type, user agent, forwarded-for, address,
body.
"""

from __future__ import annotations

from ingestd.errors import RequestRefusedError
from ingestd.http.request import Headers, Request
from ingestd.http.responses import REFUSALS
from tests.commands.fuzz.bodies import TYPES
from tests.commands.fuzz.lines import checked
from tests.support.desk import one
from tests.support.front import SAMPLES

_SEPARATOR = b"\xff"
_EVERYTHING = """dedup = ["a+b", "click_id"]
dedup_window = 50
volatile = ["v"]
key = ["k", "a"]
event_time = { param = "ts" }
privacy = { p = "sha256", q = "drop", ip = "truncate_ip" }
address_privacy = "truncate_ip"
reply.redirect = { param = "u", hosts = ["x.example", ".y.example"] }"""
_DESKS = (one("generic"), one("generic", _EVERYTHING), one("ocean"), one("generic", 'keep_raw = "always"'))

SEEDS = [
    _SEPARATOR.join((bytes((kind,)), b"/c/x/app", query, b"", b"UA/1", b"1.2.3.4", b"::1", b""))
    for kind, query in enumerate(url.partition("?")[2].encode() for url in SAMPLES.values())
]
SEEDS += [
    _SEPARATOR.join((bytes((kind,)), b"/c/x", b"a=1", TYPES[kind % 8], b"\xd6\xd0", b"a, b", b"", body))
    for kind in range(4)
    for body in (
        b'{"a":"1","p":"secret-secret"}',
        b'[{"p":1},{"q":[2]}]',
        b"a=1&p=123456",
        b'{"a":1}\n{}',
        b"[",
    )
]
TOKENS = [
    _SEPARATOR, b"a=", b"b=", b"k=", b"ts=1718000000", b"p=abcdefgh", b"q=", b"u=https://x.example/", b"v=",
    b"ip=10.1.2.3", b"&", b"%0d%0a", b"\r", b"\n", b"\0", b'"', b"\\", b"__X__", b"{{X}}", b"\xd6\xd0",
    b"%D6", b"\xe4\xbd\xa0", b"\xed\xa0\x80", b"{", b"}", b"[", b"]", b":", b",", b'"p":', b"null",
    b"1e999", b"::ffff:1.2.3.4", b"/../", b"//", b"\x1b[31m", b"\xe2\x80\xa8",
]  # fmt: skip
MAX_BYTES = 600


def once(data: bytes) -> None:
    """Hand a request to its source."""
    parts = data.split(_SEPARATOR, 7)
    kind, path, raw, media, agent, forwarded, client, body = parts + [b""] * (8 - len(parts))
    number = (kind or b"\0")[0]
    headers = Headers()
    named = ((b"Content-Type", media), (b"User-Agent", agent), (b"X-Forwarded-For", forwarded))
    headers.update((name, value) for name, value in named if value)
    desk = _DESKS[number % 4]
    desk.demo.macros.clear()
    path = b"/c/x/" + path.partition(b"?")[0].lstrip(b"/")
    request = Request((b"GET", b"POST")[number // 4 % 2], path + b"?" + raw, headers, body)
    try:
        made = desk.made(request, client.decode("latin-1"))
    except RequestRefusedError as refused:
        REFUSALS[refused.reason]  # a known one
        return
    events = checked(made.data, made.count)
    for event in events:
        assert event["path"].encode("latin-1") == path or number % 4 == 1
        assert event["source"] == "x"
    _one_reply(made.replies.stored.keep)
    if number % 4 == 1:
        _private(raw, made.data)


def _one_reply(reply: bytes) -> None:
    """A reply's head holds nothing of the client's that could begin another line."""
    head = reply.partition(b"\r\n\r\n")[0]
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b": ")
        assert colon, reply
        assert name in (b"Content-Length", b"Content-Type", b"Location", b"Cache-Control"), reply
        assert not set(value) & set(range(32)), reply


def _private(raw: bytes, lines: bytes) -> None:
    """What privacy hashes stands nowhere in the lines (told where the value is long and plain)."""
    for pair in raw.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"p" and len(value) > 12 and value.isalnum() and not value.isdigit():
            assert value not in lines, value
