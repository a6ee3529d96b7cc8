"""Every way to sign, over any query and body: what the key made is good, anything else is not.

The first byte of an input picks the way, the second what is damaged.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import tempfile
from pathlib import Path

import orjson

from ingestd.http.request import Headers, Request
from tests.support.desk import BASE, one

KEY = b"key-of-the-fuzzer"
_WAYS = {
    "md5": 'kind = "md5_url_key"',
    "anywhere": 'kind = "md5_url_key", last = false',
    "hmac": 'kind = "hmac_sha256_url", param = "sig", encoding = "base64"',
    "target": 'kind = "hmac_sha256_url", param = "sig", covers = "target"',
    "body": 'kind = "hmac_sha256_body", header = "X-Signature", prefix = "sha256="',
    "concat": 'kind = "md5_concat", params = ["a", "b"]',
    "query": 'kind = "token", param = "token"',
    "path": 'kind = "token", place = "path"',
}


def _desks() -> list[tuple[str, object]]:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "key").write_bytes(KEY + b"\n")
        return [
            (way, one("generic", f'signature = {{ {text}, key_file = "key" }}', Path(name)))
            for way, text in _WAYS.items()
        ]


DESKS = _desks()
SEEDS = [
    bytes((way, damage)) + raw
    for way in range(len(_WAYS))
    for damage in (0, 1)
    for raw in (b"a=1&b=2", b"", b"a=%E4%BD%A0&sign=x&b=", b"sig=1", b"token=x", b"&&=", b"sign=__SIGN__")
]
TOKENS = [
    b"sign=", b"&sign=", b"&sig=", b"sig=", b"token=", b"&", b"=", b"%", b"%26", b"%3D", b"a=", b"b=",
    b"\xd6", b"__SIGN__", b"{sign}", b"?", b"/", b"d41d8cd98f00b204e9800998ecf8427e", b"+", b"-_", b"\0",
    b"==", KEY[:5],
]  # fmt: skip
MAX_BYTES = 300


def once(data: bytes) -> None:
    """Ask for the verdict on a query as it came, and on the same signed, whole and damaged."""
    kind, damage, raw = (data + b"\0\0")[0], (data + b"\0\0")[1], data[2:]
    way, _ = DESKS[kind % len(DESKS)]
    if KEY in raw:
        return
    assert _verdict(kind, b"/c/x", raw, b"", b"") != "ok", "nobody signed it"
    path, signed, body, header = _signed(way, raw)
    assert _verdict(kind, path, signed, body, header) == "ok", (way, signed)
    place = damage % 32
    other = _damaged(way, place, signed, header, path)
    assert _verdict(kind, other[2], other[0], body, other[1]) in ("bad", "missing"), (way, other)


def _verdict(kind: int, path: bytes, raw: bytes, body: bytes, header: bytes) -> str:
    desk = DESKS[kind % len(DESKS)][1]
    headers = Headers({b"X-Signature": header} if header else {})
    lines = desk.made(Request(b"GET", path + b"?" + raw, headers, body)).data  # type: ignore[attr-defined]
    event = orjson.loads(lines)
    assert KEY not in lines, "the key is in the event"
    verdict: str = event["signature"]
    return verdict


def _signed(way: str, raw: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Path, query, body and header of a request signed in this way."""
    path, base = b"/c/x", BASE.encode()
    joined = raw + b"&" if raw else b""
    url = path + (b"?" + raw if raw else b"")
    if way in ("md5", "anywhere"):
        return path, joined + b"sign=" + hashlib.md5(base + url + KEY).hexdigest().encode(), b"", b""
    if way == "hmac":
        digest = base64.b64encode(hmac.digest(KEY, base + url, "sha256"))
        return path, joined + b"sig=" + digest.replace(b"+", b"%2B"), b"", b""
    if way == "target":
        return path, joined + b"sig=" + hmac.digest(KEY, url, "sha256").hex().encode(), b"", b""
    if way == "body":
        body = raw or b"x"
        return path, b"", body, b"sha256=" + hmac.digest(KEY, body, "sha256").hex().encode()
    if way == "concat":
        return path, b"a=1&b=%32&sign=" + hashlib.md5(b"12" + KEY).hexdigest().encode() + b"&" + raw, b"", b""
    if way == "query":
        return path, b"token=" + KEY + b"&" + raw, b"", b""
    return path + b"/" + KEY, raw, b"", b""


def _damaged(way: str, place: int, raw: bytes, header: bytes, path: bytes) -> tuple[bytes, bytes, bytes]:
    """The same with one character of the signature another one."""
    if way == "body":
        at = 7 + place
        return raw, header[:at] + (b"0" if header[at : at + 1] != b"0" else b"1") + header[at + 1 :], path
    if way == "path":
        return raw, header, path[:-1] + b"~"
    name = {"hmac": b"sig=", "target": b"sig=", "query": b"token="}.get(way, b"sign=")
    start = raw.find(name) if way in ("concat", "query") else raw.rfind(name)
    at = start + len(name) + place % (len(KEY) if way == "query" else 32)
    while raw[at : at + 1] == b"%" or raw[at - 1 : at] == b"%" or raw[at - 2 : at - 1] == b"%":
        at += 1
    return raw[:at] + (b"0" if raw[at : at + 1] != b"0" else b"1") + raw[at + 1 :], header, path
