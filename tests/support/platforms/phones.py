"""The phone makers' stores and feeds."""

from __future__ import annotations

from tests.support.platforms.cases import HUAWEI, SAMPLES, XIAOMI, Case

NO_DEVICE = "d2158e2f658345d9cdbc6bdb0764d5b2"  # md5 of the macro __IMEI__

CASES = [
    # OPPO
    Case(
        "oppo full: no click id, the query stands for the click", "oppo", SAMPLES["oppo"],
        event_at=1589869710000, flags=("stale",), params={"oaid": ""},
    ),
    Case(
        "oppo macros: the feed's dollars", "oppo",
        "https://trk.example.com/c/oppo?adid=__ADID__&imeiMd5=$im$&oaid=__OAID__&timestamp=__TS__&os=$os$",
        flags=("macro:adid", "macro:imeiMd5", "macro:oaid", "macro:timestamp", "macro:os"),
    ),
    Case(
        "oppo hostile: client-side fillers", "oppo",
        b"/c/oppo?adid=-1&imeiMd5=" + NO_DEVICE.encode() + b"&nt=UNKNOWN&timestamp=1718000009000.5&c=#frag",
        params={"nt": "UNKNOWN", "c": "#frag"},
    ),
    # vivo
    Case(
        "vivo full: POST with a JSON object", "vivo", "https://trk.example.com/c/vivo/app42",
        body=b'{"requestId":"8f0c2d1e","creativeId":10203040,"adName":"\xe5\xa4\x8f","clickTime":1718000004321}',
        event_at=1718000004321, click_id="8f0c2d1e",
        body_is={"requestId": "8f0c2d1e", "creativeId": 10203040, "adName": "夏", "clickTime": 1718000004321},
    ),
    Case(
        "vivo macros: in a body, too", "vivo", "https://trk.example.com/c/vivo",
        body=b'{"requestId":"r1","oaid":"__OAID__","clickTime":"1718000004321"}',
        event_at=1718000004321, click_id="r1", flags=("macro:oaid",),
        body_is={"requestId": "r1", "oaid": "__OAID__", "clickTime": "1718000004321"},
    ),
    Case(
        "vivo hostile: no JSON after all", "vivo", "https://trk.example.com/c/vivo",
        body=b'{"requestId":"r1",', flags=("bad_json",), body_is='{"requestId":"r1",',
    ),
    # Xiaomi
    Case(
        "xiaomi full", "xiaomi", SAMPLES["xiaomi signed"], XIAOMI, event_at=1718000003000,
        click_id="cGFyYW1zPWNsaWNrJmFkPTE=", raw=True, params={"imei": ""},
    ),
    Case(
        "xiaomi macros: OAID or the IMEI family, never both", "xiaomi",
        "https://trk.example.com/c/xiaomi?imei=c7fd&oaid=__OAID__&click_time=1718000003000&callback=cb",
        XIAOMI, event_at=1718000003000, click_id="cb", flags=("macro:oaid",), raw=True,
    ),
    Case(
        "xiaomi hostile: nothing but a signature", "xiaomi", b"/c/xiaomi?sign=", XIAOMI, raw=True,
        params={"sign": ""},
    ),
    # Huawei
    Case(
        "huawei full", "huawei",
        "https://trk.example.com/c/huawei/a?campaign_id=1&adgroup_id=2&content_id=3&event_type=click"
        "&trace_time=1718000007000&tracking_enabled=1&oaid=0f3a6d2e-7b1c-4d5e-8f90-a1b2c3d4e5f6&ip=203.0.113.8"
        "&user_agent=Mozilla%2F5.0&callback=security%3A5F3E%2BA%3D",
        HUAWEI, event_at=1718000007000, click_id="security:5F3E+A=",
    ),
    Case(
        "huawei macros: of both forms", "huawei",
        "https://trk.example.com/c/huawei?oaid={oaid}&trace_time={trace_time}&callback=__CALLBACK__",
        HUAWEI, flags=("macro:oaid", "macro:trace_time", "macro:callback"),
    ),
    Case(
        "huawei hostile: a zero device, an encoded slash", "huawei",
        b"/c/huawei/x%2Fy?oaid=00000000-0000-0000-0000-000000000000&callback=c&trace_time=1e12",
        HUAWEI, click_id="c", params={"oaid": "00000000-0000-0000-0000-000000000000"},
    ),
]  # fmt: skip
