"""The large ad media of China."""

from __future__ import annotations

from tests.support.platforms.cases import SAMPLES, TENCENT, Case

CASES = [
    # Ocean Engine
    Case(
        "ocean full", "ocean", SAMPLES["oceanengine"], event_at=1718000000123,
        click_id="EJiw267wvfQCGKf2g74ZIPD89-vIATAMOAFCIjIwMTkxMTI3MTQxMTEzMDEwMDI2MDc3MjE1MTUwNTczNTBIAQ==",
        flags=("macro:imei", "macro:idfa", "macro:union_site"),
        params={
            "project_id": "7239924572828155962",  # over 2^53: a string
            "cid_name": "抖音-0602-36%",
            "caid": '[{"version":"20250325","caid":"0f3a6d2e7b1c4d5e8f90a1b2c3d4e5f6"}]',
        },
    ),
    Case(
        "ocean macros: without a callback the request id identifies the click", "ocean",
        "https://trk.example.com/c/ocean/app42?request_id=20240610&callback_param=__CALLBACK_PARAM__&ts=__TS__",
        click_id="20240610", flags=("macro:callback_param", "macro:ts"),
        params={"callback_param": "__CALLBACK_PARAM__"},
    ),
    Case(
        "ocean hostile: a lone %, a macro inside a value, sign left in", "ocean",
        b"/c/ocean?cid_name=50%&ua=my__UA__x&callback_param=cb1&sign=__SIGN__&ts=1718000000123",
        event_at=1718000000123, click_id="cb1", flags=("bad_percent", "macro:sign"),
        params={"cid_name": "50%", "ua": "my__UA__x"}, raw=True,
    ),
    # Kuaishou
    Case(
        "kuaishou full", "kuaishou", SAMPLES["kuaishou"], event_at=1718000000456,
        click_id="http://ad.partner.gifshow.com/track/activate?callback="
        + SAMPLES["kuaishou"].partition("callback%3D")[2],
        flags=("macro:idfa2", "macro:mac2"),
        params={"cid": "223372032123415808", "dname": "618大促_安卓", "ip": "2409:8a55:3c21:9f10::1"},
    ),
    Case(
        "kuaishou macros: nothing filled in", "kuaishou",
        "https://trk.example.com/c/kuaishou?callback=__CALLBACK__&ts=__TS__&imei2=__IMEI2__&own=mine",
        flags=("macro:callback", "macro:ts", "macro:imei2"), params={"own": "mine"},
    ),
    Case(
        "kuaishou hostile: a callback of 1 KB with a raw pipe and +, twice", "kuaishou",
        b"/c/kuaishou?callback=" + b"A" * 1000 + b"|B+C&callback=second&ts=99999999999999999999",
        click_id="A" * 1000 + "|B C", params={"callback": ["A" * 1000 + "|B C", "second"]},
    ),
    # Tencent
    Case(
        "tencent full", "tencent", SAMPLES["tencent"], TENCENT, event_at=1718000001000,
        click_id="24oi6xq2aaakvagnqu7a", flags=("macro:universal_link",),
        params={
            "adgroup_name": "夏季&拉新=A",  # split first, then decoded
            "callback": "https://api.e.qq.com/conv?cb=xXx%2BxXx%3D&conv_id=123",  # decoded once
            "hash_android_id": "",  # empty: no value
            "element_info": '{"image_id":[1234567890],"title":"立即下载 领“红包”"}',  # JSON stays text
        },
    ),
    Case(
        "tencent macros: field not supported", "tencent",
        "https://trk.example.com/c/gdt/a?click_id=__CLICK_ID__&click_time=__CLICK_TIME__&muid=",
        TENCENT, flags=("macro:click_id", "macro:click_time"), params={"muid": ""},
    ),
    Case(
        "tencent hostile: a click id that says nothing, bytes that are no UTF-8", "tencent",
        b"/c/gdt?click_id=null&adgroup_name=%D6%D0%B9%FA&click_time=-5",
        TENCENT, flags=("bad_utf8",), raw=True, params={"click_id": "null"},
    ),
    # Tencent, old mode
    Case(
        "tencent_legacy full: appended to a URL with parameters of one's own", "tencent_legacy",
        "https://trk.example.com/c/gdt/app42?game=7&muid=c7fdcbc18e37da49c717feeae3afeee9&click_time=1718000001"
        "&appid=1104000000&click_id=oqiz2vaaakvagnqu7a01&app_type=android&advertiser_id=25610001",
        TENCENT, event_at=1718000001000, click_id="oqiz2vaaakvagnqu7a01", params={"game": "7"},
    ),
    Case(
        "tencent_legacy macros: blank muid is an event all the same", "tencent_legacy",
        "https://trk.example.com/c/gdt?muid=&click_time=1718000001&appid=1&click_id={click_id}&app_type=ios",
        TENCENT, event_at=1718000001000, flags=("macro:click_id",), params={"muid": ""},
    ),
    Case(
        "tencent_legacy hostile: the query cut short", "tencent_legacy",
        b"/c/gdt?muid=c7fd&click_time=17180000&appid", TENCENT, event_at=17180000000, flags=("stale",),
        raw=True, params={"appid": ""},
    ),
    # Baidu
    Case(
        "baidu full", "baidu", SAMPLES["baidu signed"], event_at=1718000002789,
        click_id="-194570134185690940_1553222664000", raw=True,
        params={
            "ua": "Mozilla/5.0 (Linux; Android 13; V2183A Build/TP1A.220624.014; wv) AppleWebKit/537.36 "
            "(KHTML, like Gecko) Version/4.0 Chrome/101.0.4951.74 Mobile Safari/537.36 "
            "aweme.app_version/26.3.0",
        },
    ),
    Case(
        "baidu macros: of both forms; those inside callback_url are meant to be there", "baidu",
        "https://trk.example.com/c/baidu?click_id=c1&idfa={{IDFA}}&oaid=__OAID__&ip=%7B%7BIP%7D%7D"
        "&callback_url=http%3A%2F%2Focpc.baidu.com%2Fcb%3Fa_type%3D%7B%7BATYPE%7D%7D%26a_value%3D%7B%7BAVALUE%7D%7D",
        click_id="c1", flags=("macro:idfa", "macro:oaid", "macro:ip"), raw=True,
    ),
    Case(
        "baidu hostile: by POST, as a form, with what the platform appends", "baidu",
        "https://trk.example.com/c/baidu?click_id=c2&akey=abc&ip_type=0",
        body=b"ts=1718000002789&actType=2&attribution_eshow_score=1",
        content_type="application/x-www-form-urlencoded",
        event_at=1718000002789, click_id="c2", raw=True, params={"akey": "abc", "actType": "2"},
    ),
    # Weibo
    Case(
        "weibo full: the vendor's own example repeats parameters", "weibo", SAMPLES["weibo"],
        event_at=1440486732816, flags=("stale",),
        click_id=SAMPLES["weibo"].partition("IMP=")[2].partition("&")[0],
        params={"devicetype": ["iPhone7,2", "ios"], "osversion": ["ios8.1.2", "ios11.4.1"], "brand": ""},
    ),
    Case(
        "weibo macros: single braces", "weibo",
        "https://trk.example.com/c/weibo?IMP={IMP}&clicktime={clicktime}&caid={CAID}&oaid_md5={oaid_MD5}",
        flags=("macro:IMP", "macro:clicktime", "macro:caid", "macro:oaid_md5"),
    ),
    Case(
        "weibo hostile: pipes, colons and commas as they are", "weibo",
        b"/c/weibo?mark_id=1_reallog_mark_ad:8|1_16&devicetype=iPhone7,2&IMP=E575",
        click_id="E575", params={"mark_id": "1_reallog_mark_ad:8|1_16", "devicetype": "iPhone7,2"},
    ),
    # Bilibili
    Case(
        "bilibili full", "bilibili",
        "https://trk.example.com/c/bili/a?trackid=WZNsJEC1cc2r2QYqhdSWs3__1retObLe-SM5c=_01&crid=54321&os=1"
        "&idfa=B1D2E3F4-0000-4111-8222-333344445555&ip=203.0.113.8&ua=Mozilla%2F5.0&click_ts=1718000005000"
        "&caid=20250325_0f3a6d%2C20240101_1b2c&callback_url=https%3A%2F%2Fcm.bilibili.com%2Fconv%3Ftrack_id%3D1",
        event_at=1718000005000, click_id="WZNsJEC1cc2r2QYqhdSWs3__1retObLe-SM5c=_01",
        params={"caid": "20250325_0f3a6d,20240101_1b2c"},
    ),
    Case(
        "bilibili macros: the platform sends what it has no value for", "bilibili", SAMPLES["bilibili"],
        event_at=1519626045000,
        click_id=SAMPLES["bilibili"].partition("trackid=")[2].partition("&")[0],
        flags=("macro:imei", "macro:oaid", "macro:mac", "macro:ip", "stale"),
    ),
    Case(
        "bilibili hostile: a track id that is a filler, names of nothing", "bilibili",
        b"/c/bili?trackid=undefined&&=&crid=5&os", flags=(), raw=True, params={"crid": "5", "os": "", "": ""},
    ),
    # UC
    Case(
        "uc full", "uc",
        "https://trk.example.com/c/uc/a?userid=7&imei_sum=c7fdcbc18e37da49c717feeae3afeee9&os=0&ip=203.0.113.8"
        "&ts=1718000006&clickid=88001&callback_param=Q2xpY2s&callback_url=http%3A%2F%2Fhuichuan.sm.cn%2Ftd%3Ftp_type%3Droi",
        event_at=1718000006000, click_id="88001",
    ),
    Case(
        "uc macros: single braces, upper case", "uc",
        "https://trk.example.com/c/uc?imei_sum={IMEI_SUM}&clickid={CLICKID}&callback_param=cb&ts={TS}",
        click_id="cb", flags=("macro:imei_sum", "macro:clickid", "macro:ts"),
    ),
    Case(
        "uc hostile: fillers where ids belong", "uc",
        b"/c/uc?clickid=0&callback_param=&mac=02:00:00:00:00:00&ts=0&n=%zz",
        flags=("bad_percent",), raw=True, params={"mac": "02:00:00:00:00:00"},
    ),
]  # fmt: skip
