"""Signatures by public keys: a request that counts as signed has the values of one that was signed.

The first byte of an input picks the kind; a line break ends the query, and the body follows.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import orjson

from ingestd.errors import RequestRefusedError
from ingestd.http.request import Headers, Request
from ingestd.sources.public_key_kinds import AAK_FIELDS, SKAN_FIELDS
from tests.support.desk import NOW_MS, one
from tests.support.signing import CURVE, RSA, jws, key_file, public, skan, with_ecdsa, with_pss

_SKAN = {
    "version": "4.0", "ad-network-id": "com.example", "source-identifier": "5239", "app-id": 525463029,
    "transaction-id": "6aafb7a5", "redownload": False, "source-app-id": 1, "fidelity-type": 1,
    "did-win": True, "postback-sequence-index": 0,
}  # fmt: skip
_SKAN_2 = {
    "version": "2.2", "ad-network-id": "com.example", "campaign-id": 42, "app-id": 525463029,
    "transaction-id": "6aafb7a5", "redownload": True, "source-app-id": 1, "fidelity-type": 1,
}  # fmt: skip
_AAK = {"postback-identifier": "85546EB7", "did-win": True, "postback-sequence-index": 0}
_PSS = {"ad_tech_id": "12", "nonce": "17aa", "timestamp": NOW_MS}
_QUERY = b"ad_unit=27&custom_data=%s&reward_amount=5&transaction_id=18fa"
KINDS = ("apple_skan", "apple_aak", "huawei_harmony", "admob")
SIGNED: dict[str, frozenset[str]] = {
    "apple_skan": frozenset().union(*SKAN_FIELDS.values()),
    "apple_aak": AAK_FIELDS,
    "huawei_harmony": frozenset({"ad_tech_id", "campaign_id", "source_id", "destination_id", "trigger_data"})
    | {"nonce", "timestamp"},
}


def _desks() -> list[Any]:
    with tempfile.TemporaryDirectory() as name:
        keys = {kind: f'signature.public_keys = {{ ours = "{public(CURVE)}" }}' for kind in KINDS}
        keys["huawei_harmony"] = f'signature.public_keys = {{ ours = "{public(RSA)}" }}'
        keys["admob"] = f'signature.key_file = "{key_file(Path(name), (7, CURVE))}"'
        return [one(kind, f"{text}\ndedup_window = 1000", Path(name)) for kind, text in keys.items()]


DESKS = _desks()
GENUINE: list[tuple[int, bytes, bytes]] = [
    (0, b"", orjson.dumps(skan(_SKAN))),
    (0, b"", orjson.dumps(skan(_SKAN_2))),
    (1, b"", orjson.dumps({"jws-string": jws({"kid": "ours"}, _AAK), "conversion-value": 24})),
    (2, b"", orjson.dumps(with_pss(_PSS, "12", "17aa", NOW_MS) | {"transaction_id": "9"})),
    (3, with_ecdsa(_QUERY % b"a%26reward_amount%3D9", signed=_QUERY % b"a&reward_amount=9"), b""),
    (3, with_ecdsa(_QUERY % b"a%3Db"), b""),
    (3, with_ecdsa(_QUERY % b"u"), b""),
]
SEEDS = [b"%c%b\n%b" % genuine for genuine in GENUINE]
TOKENS = [
    b"&", b"=", b"%26", b"%3D", b"%61", b"%2", b"+", b"reward_amount=9", b"&signature=", b"&key_id=7",
    b'"', b",", b":", b"{", b"}", b"[", b"]", b"\n", b'"transaction-id":"x",', b'"nonce":"x",',
    b'"version":"3.0",', b'"postback-sequence-index":1,', b'"postback-identifier":"x",', b'"did-win":"true"',
    b"null", b"1.0", "\u2063".encode(), b"\\u2063", b"\\ud800", b"jws-string=x&", b"transaction-id=x&",
    b"eyJhIjoxfQ", b"..",
]  # fmt: skip
MAX_BYTES = 1000


def once(data: bytes) -> None:
    """Ask for the verdict on a request, and compare what counts as signed with what was."""
    kind = (data + b"\0")[0] % len(KINDS)
    query, _, body = data[1:].partition(b"\n")
    found = _signed_values(kind, query, body)
    assert found is None or found in ALLOWED[kind], found


def _signed_values(kind: int, query: bytes, body: bytes) -> tuple[Any, ...] | None:
    """What tells the event from others, if the request is signed: its dup_key and the signed values."""
    method = b"GET" if KINDS[kind] == "admob" else b"POST"
    headers = Headers({b"Content-Type": b"application/json"} if body else {})
    request = Request(method, b"/c/x?" + query, headers, body)
    try:
        lines = DESKS[kind].made(request).data.splitlines()
    except RequestRefusedError:
        return None
    events = [orjson.loads(line) for line in lines]
    if "ok" not in {event["signature"] for event in events}:
        return None
    (event,) = events
    if KINDS[kind] == "admob":
        assert event.get("body") is None, "nobody signed the body"
        params = {k: _plain(v) for k, v in event["params"].items() if k not in ("signature", "key_id")}
        return event["dup_key"], sorted(params.items())
    source = DESKS[kind].sources[0]
    keys = source.public_key.signed(event["body"])
    values = {
        name: str(keys[name]).lower() for name in SIGNED[KINDS[kind]] if keys.get(name) not in (None, "")
    }
    if KINDS[kind] == "huawei_harmony":  # signs values without their names, and no transaction_id
        return tuple(values[name] for name in source.config.signature.params if name in values)
    return event["dup_key"], sorted(values.items())


def _plain(value: Any) -> str:
    assert isinstance(value, str), "one value was signed, and there are more"
    return unquote_plus(unquote_plus(value))


ALLOWED = [
    [_signed_values(kind, query, body) for number, query, body in GENUINE if number == kind]
    for kind in range(len(KINDS))
]
assert None not in [values for allowed in ALLOWED for values in allowed], "a genuine request is not signed"
