"""Any body under any content type and encoding: events that hold it, or one refusal, within the cap.

The first byte of an input picks the content type and how the rest is packed, the second where it is damaged.
"""

from __future__ import annotations

import gzip
import json

import zstandard

from ingestd.errors import RequestRefusedError
from ingestd.http.request import Headers
from ingestd.http.responses import REFUSALS
from tests.commands.fuzz.lines import checked
from tests.support.fakes import make_source, request_for, taken

TYPES = (
    b"application/json", b"application/x-ndjson", b"application/x-www-form-urlencoded", b"text/plain",
    b"application/json; charset=utf-8", b"", b"\xd6\xd0/x", b"application/json-seq",
)  # fmt: skip
_BODIES = [
    b'{"a": 1, "click_id": "c1"}', b'[{"a": 1}, {"b": [2, {"c": null}]}, "x", 3.50, true]', b"[]", b"[[]]",
    b'{"a":1}\n{"b":2}\r\n\n{"c":3}', b"a=1&b=%E4%BD%A0&c=+", b"a=\xd6\xd0&a=%zz", b"\xff\xfe\x00text",
    b'{"n": 12345678901234567890123, "n": 1e999}', b"[1,\n2]", b'\x1e{"a":1}\n\x1e{"b":2}\n', b"[" * 200,
    b"null", b'"\\ud800"', b"", b'[{"a":"\\n\\u0000"}]', b'{"a":{"b":{"c":[[[[1]]]]}}}',
]  # fmt: skip
SEEDS = [bytes((kind, 0)) + body for body in _BODIES for kind in (0, 1, 2, 3, 8, 17)]
SEEDS += [bytes((24, 0)) + gzip.compress(b'{"a":1}', mtime=0), bytes((24, 0)) + zstandard.compress(b"[1,2]")]
TOKENS = [
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\n", b"\r", b"\x1e", b"\\u0000", b"\\ud800", b"\\", b"null",
    b"true", b"1e999", b"-0", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf", b"\xff", b"\x00",
    b"a=1", b"&", b"%", b'"click_id":', b"[" * 50, b"{\"a\":" * 20, b"\xe2\x80\xa8", b" ",
]  # fmt: skip
MAX_BYTES = 400
LIMIT = 4096

_source = make_source(toml=f'[ingest]\nmax_inflated = "{LIMIT}B"', dedup=["click_id"], key=["a"])
_pack = zstandard.ZstdCompressor()


def once(data: bytes) -> None:
    """Send a body."""
    kind, damage, body = (data + b"\0\0")[0], (data + b"\0\0")[1], data[2:]
    headers = Headers()
    if media := TYPES[kind % 8]:
        headers[b"Content-Type"] = media
    packing = kind // 8 % 4
    plain: bytes | None = body
    if packing == 1:
        headers[b"Content-Encoding"], body = b"gzip", gzip.compress(body, 1, mtime=0)
    elif packing == 2:
        headers[b"Content-Encoding"], body = b"zstd", _pack.compress(body)
    elif packing == 3:
        headers[b"Content-Encoding"], plain = (b"zstd" if damage & 1 else b"gzip"), None
    if packing in (1, 2) and damage:
        place = damage % len(body)
        body, plain = body[:place] + bytes((body[place] ^ 1 + damage // 2,)) + body[place + 1 :], None
    reason = ""
    try:
        made = taken(_source, request_for(b"q=1", headers, body))
    except RequestRefusedError as refused:
        reason = refused.reason
    if reason:
        assert reason in REFUSALS
        assert plain is None, f"{reason}: a body that nobody had damaged"
        return
    lines = made.data
    events = checked(lines, made.count)
    if plain is not None and media.startswith(b"application/json") and b"seq" not in media and plain:
        # json: orjson makes a float of a number beyond 64 bits
        _same(plain, [json.loads(line).get("body") for line in lines.splitlines()], events[0]["flags"])


def _same(body: bytes, seen: list[object], flags: list[str]) -> None:
    """What a JSON body says is what its events say."""
    if "bad_json" in flags:
        text = body.decode("latin-1" if "body_not_utf8" in flags else "utf-8")
        assert seen == [text]
        return
    value = json.loads(body)
    said = value if isinstance(value, list) and value else [value]
    assert repr(seen) == repr(said), (seen, said)
