"""Callbacks through nginx, and what must become of each of them.

The suite asserts each row, and `python -m tests.commands.callbacks` prints them as a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingestd import config
from ingestd.cli import send_requests
from ingestd.config import profiles
from ingestd.sources import macros
from tests.support.front import Front
from tests.support.platforms import abroad, media, more_media, others, phones
from tests.support.platforms.cases import EXAMPLES, Case
from tests.support.signing import CURVE, RSA, jws, key_file, public, skan, with_ecdsa, with_pss
from tests.support.wire import request

KEYS = {"baidu": "test-akey-0001=", "xiaomi": "test-sign-key", "levelplay": "test-levelplay-key"}
FIXED_PATHS = {
    "apple_aak": "/.well-known/appattribution/report-attribution",
    "apple_skan": "/.well-known/skadnetwork/report-attribution",
}
INGEST = {"public_base": "https://trk.example.com"}
# Values that say nothing, as they stand in a query.
FILLERS = (
    "%20", "+", "(null)", "NONE", "null", "[object%20Object]", "undefined", "%22null%22", "%3Cnil%3E", "0",
    "-1", "00000000-0000-0000-0000-000000000000", "d41d8cd98f00b204e9800998ecf8427e", "",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One request, and what must become of it; None: anything.

    `same_as`: the row whose event has the same dup_key; the dup_keys of two other rows of a group differ.
    """

    group: str
    what: str
    request: bytes
    status: int = 200
    body: bytes | None = b"ok"
    flags: tuple[str, ...] | None = ()
    signature: str = "none"
    params: dict[str, Any] = field(default_factory=dict)
    same_as: str = ""


def sources(place: Path) -> list[dict[str, object]]:
    """A source of each profile, named after it, and some of our own. Writes their keys."""
    found: list[dict[str, object]] = []
    for name in profiles.Profiles().names:
        found.append({"name": name, "path": _path(name), "profile": name})
        if name in KEYS:
            (place / f"{name}.key").write_text(KEYS[name])
            found[-1]["signature"] = {"key_file": f"{name}.key"}
    by_name = {str(source["name"]): source for source in found}
    by_name["apple_aak"]["signature"] = {"test_keys": True}
    by_name["huawei_harmony"]["signature"] = {"public_keys": {"ours": public(RSA)}}
    by_name["admob"]["signature"] = {"key_file": key_file(place, (7, CURVE))}
    by_name["postback"]["dedup_window"] = 100
    ours = {"kind": "apple_skan", "public_keys": {"ours": public(CURVE)}}
    return [
        *found,
        {"name": "any", "path": "/c/any", "dedup": ["click_id"]},
        {"name": "feishu", "path": "/p/feishu", "type": "postback", "reply": {
            "body": '{"challenge":"{challenge}"}', "content_type": "application/json"}},
        {"name": "wechat", "path": "/p/wechat", "type": "postback", "reply": {"body": "{echostr}"}},
        {"name": "strict", "path": "/p/strict", "signature": ours, "on_bad_signature": "reject"},
    ]  # fmt: skip


def _path(profile: str) -> str:
    kind = profiles.Profiles().load(profile).get("type")
    return FIXED_PATHS.get(profile, f"/{'p' if kind == 'postback' else 'c'}/{profile}")


def rows(settings: config.Config) -> Iterator[Row]:
    """All rows, in the order in which they are sent. `settings`: of the daemon that gets them."""
    yield from _platforms(settings)
    yield from _signatures()
    yield from _macros()
    yield from _fillers()
    yield from _states()
    yield from _echoes()


def _platforms(settings: config.Config) -> Iterator[Row]:
    """The example of each profile, as `ingestd send` sends it: at the present time, signed with our keys."""
    signed = dict.fromkeys(KEYS, "ok") | {
        "apple_skan": "ok",
        "apple_aak": "ok",
        "huawei_harmony": "bad",
        "admob": "bad",
    }
    cases = {case.profile: case for case in _cases() if " full" in case.name}
    cases |= {case.profile: case for case in _cases() if case.request == EXAMPLES.get(case.profile, ("",))[0]}
    for profile in EXAMPLES:
        case = cases[profile]
        [wire] = send_requests.build(settings, profile, "trk.example.com")
        flags = ("test", *(flag for flag in case.flags if flag != "stale"))
        yield Row(
            "platforms",
            profile,
            wire,
            case.reply[0],
            case.reply[1],
            flags,
            signed.get(profile, "none"),
            case.params,
        )


def _cases() -> list[Case]:
    return [*media.CASES, *more_media.CASES, *phones.CASES, *others.CASES, *abroad.CASES]


def post(path: str, body: object) -> bytes:
    """A request with a JSON body."""
    return request(path, "POST", {"Content-Type": "application/json"}, json.dumps(body).encode())


def _signatures() -> Iterator[Row]:
    apple, aak = EXAMPLES["apple_skan"][1], EXAMPLES["apple_aak"][1]
    group, path = "public keys", FIXED_PATHS["apple_skan"] + "/"
    yield Row(group, "SKAdNetwork, Apple's example", post(path, apple), body=b"", signature="ok")
    changed = apple | {"app-id": 1}
    yield Row(
        group,
        "... with another app",
        post(path, changed),
        body=b"",
        signature="bad",
        same_as="SKAdNetwork, Apple's example",
    )
    unsigned = {name: value for name, value in apple.items() if name != "attribution-signature"}
    yield Row(
        group,
        "... without a signature",
        post(path, unsigned),
        body=b"",
        signature="missing",
        same_as="SKAdNetwork, Apple's example",
    )
    path = FIXED_PATHS["apple_aak"] + "/"
    yield Row(group, "AdAttributionKit, Apple's example", post(path, aak), body=b"", signature="ok")
    forged = {
        "jws-string": jws({"kid": "apple-cas-identifier/0", "alg": "none"}, {"postback-identifier": "forged"})
    }
    yield Row(group, "... by a key of our own, alg none", post(path, forged), body=b"", signature="bad")
    result = {"trigger_data": 12, "nonce": "17aa", "timestamp": 1, "transaction_id": "t1"}
    good = with_pss(result, 12, "17aa", 1)
    yield Row(group, "HarmonyOS", post("/p/huawei_harmony", good), body=b"", flags=("stale",), signature="ok")
    bad = good | {"trigger_data": 13, "transaction_id": "t2"}
    yield Row(
        group,
        "... with another conversion",
        post("/p/huawei_harmony", bad),
        body=b"",
        flags=("stale",),
        signature="bad",
    )
    query = b"ad_unit=27&reward_item=Key%20Doubler&transaction_id=18fa"
    decoded = query.replace(b"%20", b" ")
    target = b"/p/admob?" + with_ecdsa(query, signed=decoded)
    yield Row(group, "AdMob", request(target), body=b"", signature="ok")
    target = target.replace(b"ad_unit=27", b"ad_unit=28").replace(b"18fa", b"18fb")
    yield Row(group, "... with another ad", request(target), body=b"", signature="bad")
    yield Row(group, "reject: ours", post("/p/strict", skan(apple)), signature="ok")
    yield Row(group, "reject: forged", post("/p/strict", changed), 403, None)


def _macros() -> Iterator[Row]:
    """Two clicks of each spelling: each is flagged, and they are two."""
    for macro in (example for form in macros.FORMS for example in form.examples):
        for number in (1, 2):
            wire = request(f"/c/any?click_id={macro}&n={number}".encode())
            odd = ("bad_percent",) if "%" in macro else ()
            yield Row(
                "macros",
                f"{macro} {number}",
                wire,
                flags=(*odd, "macro:click_id"),
                params={"click_id": macro},
            )


def _fillers() -> Iterator[Row]:
    for filler in FILLERS:
        for number in (1, 2):
            yield Row(
                "fillers", f"{filler or 'nothing'} {number}", request(f"/c/any?click_id={filler}&n={number}")
            )


def _states() -> Iterator[Row]:
    for status in (2, 1, 3):
        wire = request(f"/p/postback?transaction_id=T1&goal_id=1&status={status}")
        yield Row("states", f"status={status}", wire)
    for status in (2, 1, 3):
        wire = request(f"/p/postback?transaction_id=T1&goal_id=1&status={status}")
        yield Row("states", f"status={status} again", wire, flags=("duplicate",), same_as=f"status={status}")


def _echoes() -> Iterator[Row]:
    challenge = {"challenge": "ajls384kdjx98XX", "type": "url_verification"}
    answered = b'{"challenge":"ajls384kdjx98XX"}'
    yield Row("echoes", "Feishu's challenge", post("/p/feishu", challenge), body=answered)
    yield Row(
        "echoes",
        "WeChat's echostr",
        request("/p/wechat?echostr=5838479218127813673&nonce=1"),
        body=b"5838479218127813673",
    )
    for what, value in (
        ("markup", "%3Cscript%3E"),
        ("a new line", "a%0D%0Ab"),
        ("too long", "9" * 129),
        ("quotation", "%22%7D"),
    ):
        flags = ("control",) if what == "a new line" else ()
        yield Row(
            "echoes", what, request(f"/p/wechat?echostr={value}"), body=b"", flags=None if flags else ()
        )


def judge(front: Front, row: Row, seen: dict[tuple[str, str], str]) -> tuple[str, dict[str, Any], list[str]]:
    """Send a row's request. The reply as text, the event ({}: none), and what is not as it must be.

    `seen`: the dup_keys by group and row.
    """
    answer, events = front.send(row.request)
    wrong = []
    if answer.status != row.status or row.body not in (None, answer.body):
        wrong.append(f"reply {row.status} {(row.body or b'').decode()!r} expected")
    event = events[0] if events else {}
    if len(events) != (row.status == 200):
        wrong.append(f"{len(events)} events")
    if event:
        if row.flags is not None and tuple(event["flags"]) != row.flags:
            wrong.append(f"flags {row.flags} expected")
        if event["signature"] != row.signature:
            wrong.append(f"signature {row.signature} expected")
        wrong += [
            f"{name} is {event['params'].get(name)!r}"
            for name, value in row.params.items()
            if event["params"].get(name) != value
        ]
        others = {
            what: key for (group, what), key in seen.items() if group == row.group and what != row.same_as
        }
        if event["dup_key"] in others.values() and not row.same_as:
            wrong.append("the dup_key of another event")
        if row.same_as and seen[row.group, row.same_as] != event["dup_key"]:
            wrong.append(f"not the dup_key of {row.same_as}")
        seen[row.group, row.what] = event["dup_key"]
    return f"{answer.status} {answer.body.decode('latin-1').strip()}".strip(), event, wrong
