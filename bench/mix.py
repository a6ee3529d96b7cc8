"""The requests every contender gets: the platforms' example callbacks, varied so that no cache helps."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

PUBLIC_BASE = "https://trk.example.com"
VARIATIONS = 64  # of each callback; with ten callbacks 640 different requests
SIGN_KEYS = {"/c/baidu/": "test-akey-0001=", "/c/xiaomi/": "test-sign-key"}
USER_AGENT = "ad-callback/1.0"
_NUMBER = re.compile(r"\d{12,}")
_HASH = re.compile(r"[0-9a-f]{32,}")
_POST = {
    "requestId": "8f0c2d1e-7b6a-4c59-9d3e-123456789012",
    "creativeId": "10203040",
    "adName": "夏季 618",
    "oaid": "7f3c9d2b4e5a61708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8",
    "clickTime": 1718000004321,
    "ip": "113.247.34.10",
    "ua": "Mozilla/5.0 (Linux; Android 13; V2183A Build/TP1A.220624.014; wv) AppleWebKit/537.36",
}


@dataclass(frozen=True)
class Request:
    """One request as its bytes on the wire, and what a correct decoder makes of it."""

    wire: str
    target: str
    decoded: str  # canonical JSON of the parameters and the body, see `canonical`


def canonical(params: object, body: object) -> str:
    """Return one text for equal decodings, whatever the order of the keys."""
    return json.dumps([params, body], sort_keys=True, ensure_ascii=False)


def build(callbacks: Path) -> list[Request]:
    """Return the mix, the same on every run: each callback in turn, then a POST with a JSON object."""
    urls: list[str] = list(json.loads(callbacks.read_text(encoding="utf-8"))["callbacks"].values())
    dice = random.Random(20240618)
    mix: list[Request] = []
    for _ in range(VARIATIONS):
        mix.extend(get(_vary(url, dice)) for url in urls)
        mix.append(_post(dice))
    return mix


def mean_bytes(mix: list[Request]) -> float:
    """Return the mean size of a request on the wire."""
    return sum(len(request.wire.encode()) for request in mix) / len(mix)


def write_for_wrk(mix: list[Request], file: Path) -> None:
    """Write a Lua script that sends the mix over and over and prints its counts as JSON."""
    lines = ",\n".join(_lua(request.wire) for request in mix)
    file.write_text(f"local requests = {{\n{lines}\n}}\n{_WRK_TAIL}", encoding="utf-8")


def write_for_loadgen(mix: list[Request], file: Path) -> None:
    """Write the mix as a JSON array of requests."""
    file.write_text(json.dumps([request.wire for request in mix]), encoding="utf-8")


def _vary(url: str, dice: random.Random) -> str:
    """Give the URL ids of its own (same lengths), and a valid signature where its platform signs."""

    def digits(match: re.Match[str]) -> str:
        return match[0][:-6] + "".join(dice.choices("0123456789", k=6))

    def hexes(match: re.Match[str]) -> str:
        return match[0][:-8] + "".join(dice.choices("0123456789abcdef", k=8))

    base, signed, _ = url.partition("&sign=")
    base = _HASH.sub(hexes, _NUMBER.sub(digits, base))
    if not signed:
        return base
    key = next(key for path, key in SIGN_KEYS.items() if base.startswith(PUBLIC_BASE + path))
    return f"{base}&sign={hashlib.md5((base + key).encode()).hexdigest()}"


def get(url: str) -> Request:
    """Return a GET of a public URL."""
    target = url.removeprefix(PUBLIC_BASE)
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    return Request(_wire("GET", target), target, canonical(dict(merge(pairs)), None))


def merge(pairs: list[tuple[str, str]]) -> Iterator[tuple[str, str | list[str]]]:
    """Yield each name once: with its value, or with a list where it was repeated."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        yield name, values if len(values) > 1 else values[0]


def _post(dice: random.Random) -> Request:
    content = _POST | {"requestId": f"8f0c2d1e-7b6a-4c59-9d3e-{dice.randrange(10**12):012d}"}
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    headers = f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    return Request(_wire("POST", "/c/vivo/app42", headers, body), "/c/vivo/app42", canonical({}, content))


def _wire(method: str, target: str, headers: str = "", body: str = "") -> str:
    head = f"{method} {target} HTTP/1.1\r\nHost: trk.example.com\r\nUser-Agent: {USER_AGENT}\r\n"
    return f"{head}Accept: */*\r\n{headers}\r\n{body}"


def _lua(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n")
    return f'"{escaped}"'


_WRK_TAIL = """\
local at = 0
request = function()
  at = at % #requests + 1
  return requests[at]
end
done = function(summary, latency, _)
  local e = summary.errors
  local broken = e.connect + e.read + e.write + e.timeout
  local function ms(percentile) return latency:percentile(percentile) / 1e3 end
  io.write(string.format('{"requests": %d, "bytes": %d, "seconds": %f, "bad": %d, "broken": %d, ',
    summary.requests, summary.bytes, summary.duration / 1e6, e.status, broken))
  io.write(string.format('"p50_ms": %f, "p99_ms": %f, "p999_ms": %f, "max_ms": %f}\\n',
    ms(50), ms(99), ms(99.9), latency.max / 1e3))
end
"""
