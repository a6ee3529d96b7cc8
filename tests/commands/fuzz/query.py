"""Any query: decoded as the plain rule says, never an error, and the same in the event's line."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import orjson

from ingestd.http.request import Headers
from ingestd.sources import macros, query
from tests.support.fakes import make_source, request_for, taken
from tests.support.front import SAMPLES

SEEDS = [url.partition("?")[2].encode() for url in SAMPLES.values()]
SEEDS += [
    b"", b"a", b"=", b"&&", b"a=1&a=2;b=3&&=&c", b"n=100%&p=%zz", b"n=\xd6\xd0\xb9\xfa", b"a=%00&b=%0a",
    b"m=1_reallog_mark_ad:8|1_16&a={{IMEI}}&b=[TS]&c={x}&d=$im$", b"a=%EF%BF%BD", b"a=%ED%A0%80",
    b"&".join(b"n%d=%d" % (number, number) for number in range(40)), b"a=%5C%22%08%7f\"\\",
]  # fmt: skip
TOKENS = [
    b"a", b"b", b"=", b"&", b"%", b"%4", b"%41", b"%zz", b"%25", b"%26", b"%3D", b"%2B", b"%00", b"%0A",
    b"%22", b"%5c", b"+", b";", b"#", b'"', b"\\", b"\xd6\xd0", b"%D6%D0", b"%E4%BD%A0", b"\xe4\xbd\xa0",
    b"%F0%9F%98", b"%F0%9F%98%80", b"%EF%BF%BD", b"%ED%A0%80", b"%C0%80", b"__X__", b"{x}", b"{{X}}",
    b"[X]", b"$x$", b"%X%", b"__macro", b"ts=1718000000", b"\x7f", b"\x00", b"x" * 16, b"x" * 33,
]  # fmt: skip
MAX_BYTES = 512
NOW_NS = 1_718_000_000_000_000_000

_source = make_source()
_headers = Headers()


def once(data: bytes) -> None:
    """Decode a query by itself and in an event."""
    decoded = query.decode(data)
    params, whole = _by_the_rule(data)
    assert decoded.params == params
    assert decoded.lossy or whole, "bytes are lost, and nobody says so"
    assert orjson.loads(decoded.encoded) == params
    if sum(data) % 4:  # the whole event only of every fourth: it costs more than all the rest
        return
    made = taken(_source, request_for(data))
    line = made.data
    assert made.count == 1
    assert line.find(b"\n") == len(line) - 1, line
    event = orjson.loads(line)
    assert event["params"] == decoded.params
    assert set(decoded.flags) <= set(event["flags"])
    if decoded.lossy:
        assert event["raw"].encode("latin-1") == data


def _unescaped(text: bytes) -> bytes:
    return text if macros.is_raw_macro(text.decode("latin-1")) else unquote_to_bytes(text.replace(b"+", b" "))


def _by_the_rule(data: bytes) -> tuple[dict[str, str | list[str]], bool]:
    """What `parse_qsl(keep_blank_values=True)` gives, repeated names' values in lists; if that is all.

    But for a macro with percent signs of its own, which is kept as it came.
    """
    params: dict[str, str | list[str]] = {}
    whole = True
    for pair in data.split(b"&") if data else ():
        name, equals, value = map(_unescaped, pair.partition(b"="))
        if not pair:
            whole = False
            continue
        first, second = name.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        whole = whole and bool(equals) and first.encode() == name and second.encode() == value
        present = params.get(first)
        if present is None:
            params[first] = second
        else:
            params[first] = [*(present if isinstance(present, list) else [present]), second]
    return params, whole
