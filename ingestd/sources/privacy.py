"""Privacy: removes, hashes or truncates values of the request before the event is made of it.

The query and the body are rewritten, so that `params`, `raw` and `body` agree. Each replaced value is also
searched for in the rest of the request. Signatures have been verified before. A body that cannot be parsed is
withheld.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote_from_bytes

import orjson
from ahocorasick_rs import BytesAhoCorasick, MatchKind

from ingestd.config.source import SourceConfig
from ingestd.http.request import Request
from ingestd.sources import macros, null_values
from ingestd.sources.body import FORM, is_json, is_json_lines
from ingestd.sources.percent import unquote
from ingestd.sources.tokens import HIDDEN

Action = Callable[[bytes], bytes]  # a value's bytes to those that are kept, b"" to keep none
WITHHELD = "body_withheld"
# The shortest value, in bytes, that is searched for: a shorter one identifies nobody, and occurs by chance.
_SHORTEST = 6
# So many values are looked for one after the other, which costs less than an automaton for all of them.
_FEW = 16
# A longer value, in bytes, is not an identifier, and an automaton for it would be large: they are looked for
# one after the other, unescaped. Beyond so many of them a body is withheld.
_LONG, _MANY_LONG = 512, 64
# The share of `ingest.max_values` that a body may have: each name is looked at here, in Python.
VALUES_SHARE: Final = 8
_V4 = re.compile(rb"(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}(?::\d+)?")
_MAPPED = bytes(10) + b"\xff\xff"


def truncate_ip(value: bytes) -> bytes:
    """An address truncated so that it does not identify a household: IPv4 to /24, IPv6 to /48, else b\"\"."""
    value = value.strip()
    if found := _V4.fullmatch(value):
        return found[1] + b".0"
    text = value.decode("latin-1").partition("%")[0]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):  # ValueError: a NUL
        return b""
    if packed.startswith(_MAPPED):
        return socket.inet_ntoa(packed[12:15] + b"\0").encode()
    return socket.inet_ntop(socket.AF_INET6, packed[:6] + bytes(10)).encode()


def _drop(_: bytes) -> bytes:
    return b""


def _sha256(value: bytes) -> bytes:
    return hashlib.sha256(value).hexdigest().encode() if value else b""


def action(name: str, key: bytes) -> Action:
    """The action of this name in the configuration: drop, sha256, hmac or truncate_ip. `key`: for hmac."""

    def keyed(value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256").hex().encode() if value else b""

    actions: dict[str, Action] = {
        "drop": _drop, "sha256": _sha256, "hmac": keyed, "truncate_ip": truncate_ip,
    }  # fmt: skip
    return actions[name]


class _Sweep:
    """Replaces values wherever else they occur, plain or escaped, in time linear in all their bytes."""

    __slots__ = ("_finder", "_long", "_pairs", "too_many")

    def __init__(self, taken: dict[bytes, bytes]) -> None:
        pairs = {old: new or HIDDEN for old, new in taken.items() if _SHORTEST <= len(old) <= _LONG}
        self._long = [(old, new or HIDDEN) for old, new in taken.items() if len(old) > _LONG]
        self.too_many = len(self._long) > _MANY_LONG
        for old, new in tuple(pairs.items()):
            if not old.isalnum():
                pairs.setdefault(_escaped(old), _escaped(new))
        self._pairs = sorted(pairs.items(), key=lambda pair: -len(pair[0]))
        self._finder: BytesAhoCorasick | None = None
        if len(self._pairs) > _FEW:
            values = [old for old, _ in self._pairs]
            self._finder = BytesAhoCorasick(values, matchkind=MatchKind.LeftmostLongest)

    def clean(self, part: bytes) -> bytes:
        for old, new in self._long:
            if old in part:
                part = part.replace(old, new)
        if self._finder is not None:
            return self._clean_of_many(self._finder, part)
        for old, new in self._pairs:
            if old in part:
                part = part.replace(old, new)
        return part

    def _clean_of_many(self, finder: BytesAhoCorasick, part: bytes) -> bytes:
        pieces, done = [], 0
        for number, start, end in finder.find_matches_as_indexes(part):
            pieces += [part[done:start], self._pairs[number][1]]
            done = end
        return b"".join((*pieces, part[done:])) if pieces else part

    def clean_text(self, part: str) -> str:
        """The same for text, each character one byte (ISO-8859-1)."""
        return self.clean(part.encode("latin-1")).decode("latin-1")


def _escaped(value: bytes) -> bytes:
    return value if value.isalnum() else quote_from_bytes(value, safe="").encode()


def _plain(value: Any) -> bytes:
    """A JSON value as a parameter would have it: the text itself, anything else as JSON."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else orjson.dumps(value)


def _take(act: Action, value: bytes, taken: dict[bytes, bytes]) -> bytes:
    kept = act(value)
    if kept != value:
        taken[value] = kept
    return kept


class Privacy:
    """The privacy actions of one source. `key`: for hmac, may be empty without one."""

    __slots__ = ("_address", "_params")

    def __init__(self, settings: SourceConfig, key: bytes) -> None:
        names = dict(settings.privacy)
        self._address = None
        if settings.address_privacy != "keep":
            self._address = action(settings.address_privacy, key)
            if settings.ip_param:
                names.setdefault(settings.ip_param, settings.address_privacy)
        self._params = {name.encode(): (chosen, action(chosen, key)) for name, chosen in names.items()}

    def apply(self, request: Request, media_type: str, flags: list[str]) -> None:
        """Rewrite a request's private values; adds the flag `body_withheld` if its body had to be dropped.

        `media_type`: of the body, in lower case.
        """
        taken: dict[bytes, bytes] = {}  # replaced values -> their replacements
        raw = self._query(request.query, taken)
        body = self._body(request.body, media_type, taken)
        if body is None:
            flags.append(WITHHELD)
        client_ip, forwarded = request.client_ip, request.forwarded
        if self._address is not None:
            client_ip = _take(self._address, client_ip.encode("latin-1"), taken).decode("latin-1")
            chain = [_take(self._address, part.strip(), taken) for part in forwarded.split(b",")]
            forwarded = b", ".join(part or b"unknown" for part in chain) if any(chain) else b""
        sweep = _Sweep(taken)
        if body and sweep.too_many:
            body = None
            flags.append(WITHHELD)
        request.path = sweep.clean_text(request.path)
        request.route = sweep.clean_text(request.route)
        request.query = sweep.clean(raw)
        request.body = sweep.clean(body or b"")
        request.client_ip = sweep.clean_text(client_ip)
        request.forwarded = sweep.clean(forwarded)
        request.agent = sweep.clean(request.agent)

    def _value(self, name: bytes, value: bytes, taken: dict[bytes, bytes]) -> bytes | None:
        """A parameter's value after its action; None: the parameter is dropped."""
        chosen, act = self._params[name]
        if chosen != "drop" and null_values.real(value.decode("utf-8", "replace")) is None:
            return value  # a left-in macro or a filler identifies nobody, and deserves a flag
        kept = _take(act, value, taken)
        return None if chosen == "drop" else kept

    def _query(self, raw: bytes, taken: dict[bytes, bytes]) -> bytes:
        """A raw query or form with private parameters rewritten; all other pairs stay byte for byte."""
        pairs = []
        for pair in raw.split(b"&"):
            name, equals, value = pair.partition(b"=")
            plain = unquote(name.replace(b"+", b" ")) if b"%" in name or b"+" in name else name
            if plain in self._params:
                left_in = macros.is_raw_macro(value.decode("latin-1"))
                before = value if left_in else unquote(value.replace(b"+", b" "))
                kept = self._value(plain, before, taken)
                if kept is None:
                    continue
                if kept != before:
                    escaped = _escaped(kept)
                    taken.setdefault(value, escaped)
                    pair = name + equals + escaped
            pairs.append(pair)
        return b"&".join(pairs)

    def _body(self, body: bytes, media_type: str, taken: dict[bytes, bytes]) -> bytes | None:
        """A body with private values rewritten; None if it cannot be parsed."""
        if not body or not self._params:
            return body
        if media_type == FORM:
            return self._query(body, taken)
        try:
            if is_json_lines(media_type):
                texts = body.replace(b"\x1e", b"").split(b"\n")
                return b"\n".join(self._json(text, taken) for text in texts if text.strip())
            if is_json(media_type):
                return self._json(body, taken)
        except (ValueError, RecursionError):  # not valid JSON, or nested too deep
            return None
        return None

    def _json(self, text: bytes, taken: dict[bytes, bytes]) -> bytes:
        """JSON with the values of private keys replaced at any depth; numbers keep their digits.

        Raises ValueError for invalid JSON.
        """
        orjson.loads(text)  # stricter than the scanner below

        def rebuild(pairs: list[tuple[str, Any]]) -> orjson.Fragment:
            members = []
            for name, value in pairs:
                key = name.encode("utf-8", "surrogatepass")
                if key in self._params:
                    kept = self._value(key, _plain(value), taken)
                    if kept is None:
                        continue
                    value = value if kept == _plain(value) else kept.decode("utf-8", "replace")
                members.append(orjson.dumps(name) + b":" + orjson.dumps(value))
            return orjson.Fragment(b"{" + b",".join(members) + b"}")

        scan = json.JSONDecoder(
            object_pairs_hook=rebuild,
            parse_int=lambda digits: orjson.Fragment(digits.encode()),
            parse_float=lambda digits: orjson.Fragment(digits.encode()),
        )
        return orjson.dumps(scan.decode(text.decode("utf-8")))
