"""Requests with every kind of byte that nginx lets through, and sources of every kind of reply for them."""

from __future__ import annotations

import gzip
import hashlib
import hmac
from pathlib import Path
from typing import Any

from tests.support.wire import request

KEY = b"a secret of 32 bytes, or so, yes"
TOKEN = "open-sesame"
SOURCES: list[dict[str, object]] = [
    {"name": "demo", "path": "/c/demo"},
    {
        "name": "signed", "path": "/c/signed", "on_bad_signature": "reject",
        "signature": {"kind": "hmac_sha256_body", "header": "X-Body-Sign", "key_file": "key"},
    },
    {
        "name": "token", "path": "/c/token",
        "signature": {"kind": "token", "place": "header", "header": "X-Ad-Token", "key_file": "token"},
        "privacy": {"imei": "sha256"}, "address_privacy": "truncate_ip",
    },
    {
        "name": "json", "path": "/c/demo/json",
        "reply": {"body": '{"code":0,"m":"$ok \\"y\\""}', "content_type": "application/json; charset=utf8"},
        "on_overload": {"status": 429, "body": "slow $down", "retry_after": 7},
    },
    {"name": "pixel", "path": "/c/pixel", "reply": {"pixel": True}},
    {"name": "silent", "path": "/c/silent", "reply": {"status": 204, "body": ""}, "methods": ["GET"]},
]  # fmt: skip


def write_keys(place: Path) -> None:
    """The secrets that SOURCES name."""
    (place / "key").write_bytes(KEY)
    (place / "token").write_text(TOKEN)


def hostile() -> list[bytes]:
    """Requests with every kind of byte that nginx lets through."""
    everything = bytes(range(256))
    sign = {
        "X-Body-Sign": hmac.new(KEY, b'{"n":1}', hashlib.sha256).hexdigest(),
        "Content-Type": "application/json",
    }
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    json = {"Content-Type": "application/json"}
    octets = {"Content-Type": "application/octet-stream"}
    packed = gzip.compress(b"a=1&b=\xd6\xd0", mtime=0)
    odd = {"User-Agent": 'a "b"\t\\x00 é', "traceparent": "00-x"}
    chunked = {**form, "Transfer-Encoding": "chunked"}
    return [
        request(b"/c/demo/app?name=\xd6\xd0\xb9\xfa&n=1"),  # GBK as it is
        request(b"/c/demo/%E6%8A%96//a%2Fb?x=%00&y=%00%0a%22%5C&z=\"'<>{}|^`&\\x41=\\"),
        request(b"/c/demo?" + bytes(range(0x80, 0x100))),
        request(b"/c/demo?p=" + b"%D6\xd0x\\" * 5000 + b"&end=1"),  # 30 KB
        request("/c/demo?imei=__IMEI__&a=1&a=2&a=", headers=odd),
        request("/c/demo", headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.1", "User-Agent": ""}),
        request("/c/demo?n=2", "POST", form, b"a=" + everything + b"&b=%00"),
        request("/c/demo", "POST", octets, everything * 200),  # 50 KB
        request("/c/demo", "POST", json, b'[{"n":1},{"n":2.50,"m":12345678901234567890}]'),
        request("/c/demo", "POST", {"Content-Encoding": "gzip", **form}, packed),
        request("/c/demo", "POST", chunked, b"3\r\na=1\r\n4\r\n&b=\x00\r\n0\r\n\r\n"),
        request("/c/demo", "POST", form, b"-"),
        request("/c/demo", "POST", form, b""),
        request("/c/signed?x=1", "POST", sign, b'{"n":1}'),
        request("/c/token/app?imei=123456789012345", headers={"X-Ad-Token": TOKEN}),
        request("/c/token/app?imei=2", headers={"x-ad-token": "guess"}),
        request("/c/demo/json/app?n=3"),
    ]  # fmt: skip


def bare(event: dict[str, Any]) -> dict[str, Any]:
    """An event without what differs from one time to another."""
    assert event["flags"].count("spilled") <= 1
    flags = [flag for flag in event["flags"] if flag != "spilled"]
    return {**event, "id": "", "received_at": 0, "flags": flags}
