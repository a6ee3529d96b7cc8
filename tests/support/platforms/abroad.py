"""Apple's and Huawei's attribution, networks abroad, and rewards for watching an ad."""

from __future__ import annotations

from tests.support.platforms.cases import Case, full

BASE = "https://trk.example.com"
EMPTY = (200, b"")

CASES = [
    # AdAttributionKit
    full(
        "apple_aak", "Apple's own example, by a key of development", reply=EMPTY,
        click_id="85546EB7-FD39-44BC-8990-C98A4AC36A49\0" + "0", signature="bad",
    ),
    Case(
        "apple_aak macros: none, it is JSON all the same", "apple_aak", f"{BASE}/aak", EMPTY,
        body=b'{"jws-string":"a.b.c","country-code":"{country}"}', click_id="a.b.c", signature="bad",
        flags=("macro:country-code",), body_is={"jws-string": "a.b.c", "country-code": "{country}"},
    ),
    Case(
        "apple_aak hostile: a JWS that is a number", "apple_aak", f"{BASE}/aak", EMPTY,
        body=b'{"jws-string":17}', click_id="17", signature="missing", body_is={"jws-string": 17},
    ),
    # SKAdNetwork
    full(
        "apple_skan", "Apple's own example", reply=EMPTY,
        click_id="6aafb7a5-0170-41b5-bbe4-fe71dedf1e30\0" + "0", signature="ok",
    ),
    Case(
        "apple_skan macros: none, it is JSON all the same", "apple_skan", f"{BASE}/skan", EMPTY,
        body=b'{"transaction-id":"{transaction}","version":"4.0"}', flags=("macro:transaction-id",),
        body_is={"transaction-id": "{transaction}", "version": "4.0"}, signature="missing",
    ),
    Case(
        "apple_skan hostile: no JSON after all", "apple_skan", f"{BASE}/skan", EMPTY,
        body=b'{"transaction-id":', flags=("bad_json",), body_is='{"transaction-id":', signature="missing",
    ),
    # HarmonyOS
    full(
        "huawei_harmony", reply=EMPTY, event_at=1718000009380, click_id="0d5c1f7e8a9b4c6d", signature="bad",
    ),
    Case(
        "huawei_harmony macros: none, it is JSON all the same", "huawei_harmony", f"{BASE}/hm", EMPTY,
        body=b'{"transaction_id":"__TRANSACTION_ID__","timestamp":1718000009380}',
        event_at=1718000009380, flags=("macro:transaction_id",),
        body_is={"transaction_id": "__TRANSACTION_ID__", "timestamp": 1718000009380}, signature="missing",
    ),
    Case(
        "huawei_harmony hostile: older than the five minutes it is good for", "huawei_harmony", f"{BASE}/hm",
        EMPTY, body=b'{"transaction_id":"t1","timestamp":1717999709999}', event_at=1717999709999,
        click_id="t1", flags=("stale",), body_is={"transaction_id": "t1", "timestamp": 1717999709999},
        signature="missing",
    ),
    # Mintegral
    full(
        "mintegral", "uuid is the promotion's, not the click's", click_id="mtg0a1b2c3d4e5f6g7h8i9j1x2y",
        params={"uuid": "ss_game_ios_us_mtg", "gaid": ""},
    ),
    Case(
        "mintegral macros: braces", "mintegral",
        f"{BASE}/c/mtg?click_id={{click_id}}&uuid=ss_game&idfa={{idfa}}&gaid={{gaid}}",
        flags=("macro:click_id", "macro:idfa", "macro:gaid"),
    ),
    Case(
        "mintegral hostile: a zero device, an encoded name", "mintegral",
        b"/c/mtg?click%5Fid=m1&idfa=00000000-0000-0000-0000-000000000000", click_id="m1",
        params={"click_id": "m1"},
    ),
    # Singular
    full("singular", "POST with JSON"),
    Case(
        "singular macros: in a GET", "singular", f"{BASE}/p/sng?event=install&idfa={{idfa}}",
        flags=("macro:idfa",),
    ),
    Case(
        "singular hostile: a key that stands twice", "singular", f"{BASE}/p/sng",
        body=b'{"event_name":"a","event_name":"b"}', body_is={"event_name": "b"},
    ),
    # AdMob
    full(
        "admob", "the vendor's parameters", reply=EMPTY, event_at=1718000004321,
        click_id="18fa792de1bca816048293fc71035638", params={"custom_data": "level=7"},
    ),
    Case(
        "admob macros: none of the platform's, one of ours", "admob",
        f"{BASE}/p/admob?app={{app}}&transaction_id=18fa", EMPTY, click_id="18fa", flags=("macro:app",),
    ),
    Case(
        "admob hostile: a reward without an id, called again with a new signature", "admob",
        b"/p/admob?ad_unit=1&reward_amount=5&signature=MEUC&key_id=1", EMPTY, params={"reward_amount": "5"},
    ),
    # LevelPlay
    full(
        "levelplay", "a date that is not an epoch", reply=(200, b"f3b1c2d4e5f60718293a4b5c6d7e8f90:OK"),
        click_id="f3b1c2d4e5f60718293a4b5c6d7e8f90",
        params={"user_id": "player@42", "timestamp": "202406100613"},
    ),
    Case(
        "levelplay macros: square brackets", "levelplay",
        f"{BASE}/p/lp?user_id=[USER_ID]&event_id=[EVENT_ID]&rewards=[REWARDS]", (200, b":OK"),
        flags=("macro:user_id", "macro:event_id", "macro:rewards"),
    ),
    Case(
        "levelplay hostile: markup where an id belongs", "levelplay",
        b"/p/lp?event_id=%3Cscript%3E&rewards=5", (200, b":OK"), click_id="<script>",
        params={"event_id": "<script>"},
    ),
]  # fmt: skip
