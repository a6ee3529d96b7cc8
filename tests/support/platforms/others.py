"""Attribution services, affiliate networks, and anything else."""

from __future__ import annotations

from tests.support.platforms.cases import SAMPLES, Case, full

CASES = [
    # Adjust
    Case(
        "adjust full: a click is several callbacks, so its id alone is no event", "adjust",
        SAMPLES["adjust cb"],
        event_at=1718000005000, click_id="7f1e0d\0click\0k3j4h5",
        params={"gps_adid": "660e1d86-6796-463a-be86-897993136018"},
    ),
    Case(
        "adjust macros: braces", "adjust",
        "https://trk.example.com/p/adjust?activity_kind=install&click_id={click_id}&idfa={idfa}",
        flags=("macro:click_id", "macro:idfa"),
    ),
    Case(
        "adjust hostile: a repeat of a day later", "adjust",
        "https://trk.example.com/p/adjust?activity_kind=install&click_id=c&click_time=1717800000",
        event_at=1717800000000, click_id="c\0install\0None", flags=("stale",),
    ),
    # AppsFlyer
    Case(
        "appsflyer full: POST with JSON, fields of any kind", "appsflyer", "https://trk.example.com/p/af",
        body=b'{"appsflyer_id":"1718-22","event_revenue":1.10,"new_field":[1,2]}',
        body_is={"appsflyer_id": "1718-22", "event_revenue": 1.1, "new_field": [1, 2]},
    ),
    Case(
        "appsflyer macros: none of the name in a GET", "appsflyer",
        "https://trk.example.com/p/af?idfa={idfa}&clickid=c", flags=("macro:idfa",),
    ),
    Case(
        "appsflyer hostile: a number of 30 digits", "appsflyer", "https://trk.example.com/p/af",
        body=b'{"id":123456789012345678901234567890}', body_is={"id": 123456789012345678901234567890},
    ),
    # affiliate networks
    full(
        "postback", "a conversion in one of its states", click_id="102a3b4c5d6e7f\x009\0None\x001",
        params={"payout": "1.25"},
    ),
    Case(
        "postback macros", "postback",
        "https://trk.example.com/p/net?transaction_id={transaction_id}&payout=%24%7Bpayout%7D&time=%TIME%",
        flags=("bad_percent", "macro:transaction_id", "macro:payout", "macro:time"), raw=True,
    ),
    Case(
        "postback hostile: repeated, with blanks and a semicolon", "postback",
        b"/p/net?transaction_id=a&transaction_id=b;c=d&payout=", click_id="a\0None\0None\0None",
        params={"transaction_id": ["a", "b;c=d"], "payout": ""},
    ),
    # anything
    Case(
        "generic full", "generic", "https://trk.example.com/c/any/r?a=1&b=%E4%BD%A0+x", params={"b": "你 x"},
    ),
    Case(
        "generic macros: every form there is", "generic",
        b"/c/any?m=1_reallog_mark_ad:8|1_16&a={{IMEI}}&b=[TS]&c={x}&d=$im$&e=%IMEI%&f=_OS_&g=${x}&h=__x",
        flags=("bad_percent", "macro:a", "macro:b", "macro:c", "macro:d", "macro:e", "macro:f", "macro:g"),
        raw=True,
    ),
    Case(
        "generic hostile: raw GBK, escapes that are none, NUL and newline", "generic",
        b"/c/any?n=\xd6\xd0\xb9\xfa&p=%zz&n=100%&a=%00&b=%0a&&=&c",
        flags=("bad_utf8", "bad_percent"), raw=True, params={"a": "\0", "b": "\n", "c": ""},
    ),
]  # fmt: skip
