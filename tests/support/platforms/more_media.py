"""Media of China beside the largest, creators' orders, and impressions."""

from __future__ import annotations

from tests.support.platforms.cases import TENCENT, Case, full

BASE = "https://trk.example.com"

CASES = [
    # Xingtu
    full(
        "xingtu", "an order in place of a campaign", event_at=1718000004321,
        click_id="EJiw267wvfQCGKf2g74ZIPD89-vIATAMOAFCIjIwMTkx",
        params={"order_id": "7239924572828155963", "demand_id": "7239924572828155964"},
    ),
    Case(
        "xingtu macros: of the order", "xingtu",
        f"{BASE}/c/xingtu?order_id=__ORDER_ID__&item_id=__ITEM_ID__&callback_param=cb&ts=1718000004321",
        event_at=1718000004321, click_id="cb", flags=("macro:order_id", "macro:item_id"),
    ),
    Case(
        "xingtu hostile: both callbacks left in", "xingtu",
        f"{BASE}/c/xingtu?callback_param=__CALLBACK_PARAM__&callback_url=__CALLBACK_URL__&request_id=0",
        flags=("macro:callback_param", "macro:callback_url"),
    ),
    # Juxing
    full(
        "juxing", "an order in place of a campaign", event_at=1718000004321,
        click_id="DHAJASALKFyk1uCKaCmtNGQWxkSuJcKwTrAWD0WtL8LTm0K3Ixx",
        params={"mission_id": "70012", "order_id": "223372032123415809"},
    ),
    Case(
        "juxing macros: of the order", "juxing",
        f"{BASE}/c/juxing?mission_id=__MISSION_ID__&order_id=__ORDER_ID__&callback=cb&ts=__TS__",
        click_id="cb", flags=("macro:mission_id", "macro:order_id", "macro:ts"),
    ),
    Case(
        "juxing hostile: a callback that is a filler, a raw pipe", "juxing",
        b"/c/juxing?callback=null&order_id=1|2", params={"order_id": "1|2", "callback": "null"},
    ),
    # Tencent, impressions
    full(
        "tencent_impression", "an id and a time of its own", reply=TENCENT, event_at=1718000001000,
        click_id="imp6xq2aaakvagnqu7a", flags=("macro:caid",),
        params={"callback": "https://api.e.qq.com/conv?cb=xXx%2BxXx%3D"},
    ),
    Case(
        "tencent_impression macros: those of a click are refused, and left in", "tencent_impression",
        f"{BASE}/c/ti?impression_id=i1&click_id=__CLICK_ID__&click_time=__CLICK_TIME__", TENCENT,
        click_id="i1", flags=("macro:click_id", "macro:click_time"),
    ),
    Case(
        "tencent_impression hostile: an empty id", "tencent_impression",
        b"/c/ti?impression_id=&process_time=1718000002&impression_time=1718000001", TENCENT,
        event_at=1718000001000, params={"impression_id": ""},
    ),
    # Xiaohongshu
    full(
        "xiaohongshu", "no time: the device calls", click_id="atest5f0c2d1e8b7a", params={"placement": "1"},
    ),
    Case(
        "xiaohongshu macros: CAID is refused by default", "xiaohongshu",
        f"{BASE}/c/xhs?click_id=c1&oaid=__OAID__&caid=__CAID__", click_id="c1",
        flags=("macro:oaid", "macro:caid"),
    ),
    Case(
        "xiaohongshu hostile: no click id at all", "xiaohongshu", b"/c/xhs?click_id=&placement=1&placement=2",
        params={"placement": ["1", "2"]},
    ),
    # Zhihu
    full(
        "zhihu", "macros inside the callback are meant to be there", event_at=1718000004000,
        click_id="s-5f0c2d1e",
        params={
            "callback": "http://sugar.zhihu.com/plutus_adreaper_callback?si=5f0c2d1e&et=__EVENTTYPE__&ev=__TS__",
            "zhs2s": "1",
        },
    ),
    Case(
        "zhihu macros: without a session the callback identifies the click", "zhihu",
        f"{BASE}/c/zhihu?session_id=__SESSIONID__&callback=http%3A%2F%2Fa.example%2F1&ts=__TS__",
        click_id="http://a.example/1", flags=("macro:session_id", "macro:ts"),
    ),
    Case(
        "zhihu hostile: the joint test has a word for os", "zhihu",
        b"/c/zhihu?os=ios&session_id=-&callback=cb&ts=1718000004&idfa=", event_at=1718000004000,
        click_id="cb", params={"os": "ios", "idfa": ""},
    ),
    # iQIYI
    full(
        "iqiyi", "seconds", event_at=1718000004000,
        click_id="https://t7z.cupid.iqiyi.com/track?a=q1w2e3&b=1718000004", flags=("macro:mac", "macro:mac1"),
    ),
    Case(
        "iqiyi macros: none filled in", "iqiyi",
        f"{BASE}/c/iqiyi?callback_url=__CALLBACK_URL__&timestamp=__TS__&imei=__IMEI__",
        flags=("macro:callback_url", "macro:timestamp", "macro:imei"),
    ),
    Case(
        "iqiyi hostile: milliseconds where seconds were promised", "iqiyi",
        b"/c/iqiyi?callback_url=u&timestamp=1718000004000", click_id="u",
        params={"timestamp": "1718000004000"},
    ),
    # 360
    full(
        "qihoo360", "names of mixed case", event_at=1718000004000, click_id="9c1f00d2e3b4",
        params={"keyword": "手游"},
    ),
    Case(
        "qihoo360 macros: time and address left in, so ours stand for them", "qihoo360",
        f"{BASE}/c/360?uniqueid=u1&clicktime=__clicktime__&ip=__IP__&callback_url=__callback_url__",
        click_id="u1", flags=("macro:clicktime", "macro:ip", "macro:callback_url"),
    ),
    Case(
        "qihoo360 hostile: the macro's own case is another macro's", "qihoo360",
        b"/c/360?uniqueid=__UniqueID__&clicktime=1718000004321&keyword=%E6%89", event_at=1718000004321,
        flags=("bad_utf8", "macro:uniqueid"), raw=True,
    ),
    # WiFi Master
    full(
        "wifi", "a request and a creative make a click", event_at=1718000004000,
        click_id="9e8d7c6b5a\x004005", flags=("macro:mac",),
    ),
    Case(
        "wifi macros: none filled in", "wifi",
        f"{BASE}/c/wifi?sid=__SID__&cid=__CID__&stime=__STIME__&imei=__IMEI__",
        flags=("macro:sid", "macro:cid", "macro:stime", "macro:imei"),
    ),
    Case(
        "wifi hostile: no creative", "wifi", b"/c/wifi?sid=s1&stime=0&mac=02:00:00:00:00:00",
        click_id="s1\0None", params={"mac": "02:00:00:00:00:00"},
    ),
    # OPPO feed
    full(
        "oppo_feed", "the request and the ad make a click", event_at=1718000004321,
        click_id="5f2d9e80c1b2\x00200381923", params={"ad_name": "夏季拉新"},
    ),
    Case(
        "oppo_feed macros: of both forms", "oppo_feed",
        f"{BASE}/c/of?req_id=$req$&adid=__ADID__&ad_name=$an$&ts=__TS__",
        flags=("macro:req_id", "macro:adid", "macro:ad_name", "macro:ts"),
    ),
    Case(
        "oppo_feed hostile: fillers of the client", "oppo_feed",
        b"/c/of?req_id=UNKNOWN&adid=-1&net_type=UNKNOWN&ts=1718000004321", event_at=1718000004321,
        params={"net_type": "UNKNOWN"},
    ),
    # Honor
    full("honor", event_at=1718000004321, click_id="Q0xJQ0stNzE4MDAwMDA0MzIx", params={"os": "0"}),
    Case(
        "honor macros: without a track id the request identifies the click", "honor",
        f"{BASE}/c/honor?track_id=__TRACK_ID__&request_id=r1&trace_time=__TIME__", click_id="r1",
        flags=("macro:track_id", "macro:trace_time"),
    ),
    Case(
        "honor hostile: seconds where milliseconds were promised, a zero device", "honor",
        b"/c/honor?track_id=t1&trace_time=1718000004&oaid=00000000-0000-0000-0000-000000000000",
        event_at=1718000004, click_id="t1", flags=("stale",),
    ),
]  # fmt: skip
