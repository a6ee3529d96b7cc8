"""Broken tracking links, kind by kind: each fault is found at its place, with the text that belongs there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestd import config
from ingestd.config.source import SourceConfig
from ingestd.sources import links
from ingestd.sources.link_faults import corrected, is_link, judge
from ingestd.sources.link_parts import near_source, source_of

BASE = "https://click.example.com"
PROFILES = ("ocean", "kuaishou", "tencent", "tencent_legacy", "baidu", "weibo", "bilibili", "uc", "oppo",
            "vivo", "xiaomi", "huawei", "adjust", "appsflyer", "postback", "generic")  # fmt: skip


def sources(place: Path) -> dict[str, SourceConfig]:
    """A source of each profile; Baidu's and Xiaomi's verify, the network's wants a token."""
    signed = ("baidu", "xiaomi", "postback")
    tree = {
        "ingest": {"public_base": BASE},
        "source": [
            {"name": name, "path": f"/c/{name}", "profile": name}
            | ({"signature": {"key_file": "key"}} if name in signed else {})
            for name in PROFILES
        ],
    }
    (place / "key").write_text("secret")
    return {one.name: one for one in config.parse(tree, str(place / "c.toml"), {}).source}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourceConfig]:
    return sources(tmp_path_factory.mktemp("links"))


OCEAN = f"{BASE}/c/ocean/app42?ts=__TS__&ip=__IP__&callback_param=__CALLBACK_PARAM__"
KUAISHOU = f"{BASE}/c/kuaishou?ts=__TS__&callback=__CALLBACK__&did=__DID__"
WEIBO = f"{BASE}/c/weibo?IMP={{IMP}}&clicktime={{clicktime}}&caid={{GX_CAID}}"
XIAOMI = f"{BASE}/c/xiaomi?click_time=__TS__&callback=__CALLBACK__&sign=__SIGN__"
TENCENT = f"{BASE}/c/tencent?click_id=__CLICK_ID__&click_time=__CLICK_TIME__&callback=__CALLBACK__"

# Source, kind, right link, what stands in it in place of what, and the text the fault is about.
BROKEN = [
    # the eleven of the platform team
    ("ocean", "missing", OCEAN, "&callback_param=__CALLBACK_PARAM__", "", ""),
    ("ocean", "unknown", OCEAN, "__CALLBACK_PARAM__", "__CALLBAK_PARAM__", "__CALLBAK_PARAM__"),
    ("ocean", "foreign", OCEAN, "__CALLBACK_PARAM__", "__CALLBACK__", "__CALLBACK__"),
    ("ocean", "scheme", OCEAN, "https://", "http://", "http"),
    ("ocean", "host", OCEAN, "click.example.com", "clicks.example.com", "clicks.example.com"),
    ("ocean", "misspelt", OCEAN, "__CALLBACK_PARAM__", "_CALLBACK_PARAM_", "_CALLBACK_PARAM_"),
    ("ocean", "path", OCEAN, "/c/ocean/app42", "/c/ocaen/app42", "/c/ocaen/app42"),
    ("ocean", "name", OCEAN, "callback_param=", "callbackparam=", "callbackparam"),
    ("ocean", "other_parameter", OCEAN, "ts=__TS__", "ts=__IP__", "__IP__"),
    ("ocean", "fixed", OCEAN, "__CALLBACK_PARAM__", "EJiw267wvfQC", "EJiw267wvfQC"),
    ("ocean", "repeated", OCEAN, "&ip=__IP__", "&ip=__IP__&ts=__TS__", "&ts=__TS__"),
    # and what else goes wrong between a chat window and a console
    ("ocean", "misspelt", OCEAN, "__CALLBACK_PARAM__", "__callback_param__", "__callback_param__"),
    ("ocean", "misspelt", OCEAN, "__CALLBACK_PARAM__", "__CALLBACK_PARAM_", "__CALLBACK_PARAM_"),
    ("ocean", "misspelt", OCEAN, "__CALLBACK_PARAM__", "{CALLBACK_PARAM}", "{CALLBACK_PARAM}"),
    ("ocean", "escaped", OCEAN, "__TS__", "%5F%5FTS%5F%5F", "%5F%5FTS%5F%5F"),
    ("ocean", "empty", OCEAN, "__CALLBACK_PARAM__", "", ""),
    ("ocean", "name", OCEAN, "callback_param=", "CALLBACK_PARAM=", "CALLBACK_PARAM"),
    ("ocean", "name", OCEAN, "callback_param=", "cb=", "cb"),
    ("ocean", "character", OCEAN, "/app42", "/app 42", " "),
    ("ocean", "character", OCEAN, "/app42", "/应用", "应用"),
    ("ocean", "fragment", OCEAN, "/app42", "/#app42", "#"),
    ("ocean", "percent", OCEAN, "/app42", "/app42%", "%"),
    ("ocean", "html", OCEAN, "&callback", "&amp;callback", "&amp;"),
    ("ocean", "question", OCEAN, "&callback", "?callback", "?"),
    ("ocean", "question", OCEAN, "?ts", "&ts", "&"),
    ("ocean", "html", OCEAN, "?ts", "&amp;ts", "&amp;"),
    ("ocean", "path", OCEAN, "/c/ocean/app42", "/c/ocean//app42", "//"),
    ("ocean", "path", OCEAN, "/c/ocean/app42", "//c//ocean/app42", "//c//ocean/app42"),
    ("ocean", "path", OCEAN, "/c/ocean/app42", "/C/Ocean/app42", "/C/Ocean/app42"),
    ("ocean", "path", OCEAN, "/c/ocean/app42", "/c/tencent/app42", "/c/tencent/app42"),
    ("ocean", "scheme", OCEAN, "https://", "", ""),
    ("ocean", "host", OCEAN, "click.example.com", "click.example.com:8443", "click.example.com:8443"),
    ("ocean", "host", OCEAN, "click.example.com", "192.0.2.7", "192.0.2.7"),
    ("tencent", "foreign", TENCENT, "__CLICK_TIME__", "__TS__", "__TS__"),
    ("kuaishou", "foreign", KUAISHOU, "__DID__", "__OS__", "__OS__"),
    ("weibo", "misspelt", WEIBO, "{clicktime}", "{ClickTime}", "{ClickTime}"),
    ("weibo", "unknown", WEIBO, "{GX_CAID}", "{CAID}", "{CAID}"),
    ("weibo", "escaped", WEIBO, "{clicktime}", "%7Bclicktime%7D", "%7Bclicktime%7D"),
    ("xiaomi", "last", XIAOMI, "callback=__CALLBACK__&sign=__SIGN__",
     "sign=__SIGN__&callback=__CALLBACK__", "sign=__SIGN__&"),
    ("xiaomi", "missing", XIAOMI, "&sign=__SIGN__", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "right", "text", "instead", "about"),
    BROKEN,
    ids=[f"{one[1]}: {one[4]}" for one in BROKEN],
)
def test_a_broken_link(
    known: dict[str, SourceConfig], name: str, kind: str, right: str, text: str, instead: str, about: str
) -> None:
    """The right one has no fault; the broken one has this one alone, and is the right one once corrected."""
    source = known[name]
    assert judge(right, source, BASE) == []
    assert right.count(text) == 1
    broken = right.replace(text, instead)
    (fault,) = judge(broken, source, BASE)
    assert (fault.kind, broken[fault.start : fault.end], fault.certain) == (kind, about, True)
    assert fault.what
    fixed = corrected(broken, source, BASE)
    assert fixed is not None
    assert judge(fixed, source, BASE) == []
    if not (quote(about) in fixed or kind in ("fragment", "percent")):
        assert sorted(fixed.partition("?")[2].split("&")) == sorted(right.partition("?")[2].split("&"))


def test_several_faults_are_all_found_and_corrected(known: dict[str, SourceConfig]) -> None:
    broken = "http://192.0.2.7/c/ocaen/app 42?ts=__IP__&amp;callbackparam=_CALLBACK_PARAM_&ts=1"
    kinds = [fault.kind for fault in judge(broken, known["ocean"], BASE)]
    assert kinds == ["scheme", "host", "path", "character", "other_parameter", "html", "name", "misspelt",
                     "repeated"]  # fmt: skip
    right = f"{BASE}/c/ocean/app%2042?ts=__TS__&callback_param=__CALLBACK_PARAM__"
    assert corrected(broken, known["ocean"], BASE) == right


@pytest.mark.parametrize("name", PROFILES)
def test_the_link_ingestd_itself_gives_has_no_fault(known: dict[str, SourceConfig], name: str) -> None:
    source = known[name]
    assert judge(links.link(source, BASE, "app42"), source, BASE) == []
    assert judge(links.link(source, BASE, ""), source) == []


@pytest.mark.parametrize("name", [name for name in PROFILES if name not in ("generic", "adjust", "postback")])
def test_another_platforms_link_is_told_by_its_macros(known: dict[str, SourceConfig], name: str) -> None:
    """Whatever macros the two do not share."""
    source = known[name]
    for other in known.values():
        strange = [macro for macro in other.link.values() if macro and macro not in source.macros]
        if not strange or not source.macros or other.type == "postback":
            continue
        pasted = links.link(other, BASE, "").replace(other.path, source.path)
        found = [
            fault for fault in judge(pasted, source, BASE) if fault.kind in ("foreign", "unknown", "misspelt")
        ]
        verified = {other.signature.param} if not other.signature.verifies else set()
        expected = [
            macro for param, macro in other.link.items() if macro in strange and param not in verified
        ]
        assert len(found) == len(expected), (other.name, expected, found)


def test_a_token_is_asked_for_where_it_belongs(known: dict[str, SourceConfig], tmp_path: Path) -> None:
    network = known["postback"]
    link = f"{BASE}/c/postback?transaction_id={{transaction_id}}"
    assert [fault.kind for fault in judge(link, network, BASE)] == ["token"]
    assert corrected(link, network, BASE) is None, "which token only its owner knows"
    assert judge(f"{link}&security_token=abc", network, BASE) == []
    in_path = network.model_copy(update={"signature": network.signature.model_copy(update={"place": "path"})})
    assert [fault.kind for fault in judge(link, in_path, BASE)] == ["token"]
    assert judge(link.replace("/c/postback", "/c/postback/abc"), in_path, BASE) == []


def test_without_a_base_https_and_a_domain_are_asked_for(known: dict[str, SourceConfig]) -> None:
    for link in (OCEAN, OCEAN.replace("click.example.com", "any.example.org:443")):
        assert judge(link, known["ocean"]) == []
    for host in ("192.0.2.7", "[2001:db8::7]:8443", "localhost"):
        (fault,) = judge(OCEAN.replace("click.example.com", host), known["ocean"])
        assert (fault.kind, fault.write) == ("host", None)


def test_a_macro_nobody_knows_may_be_right(known: dict[str, SourceConfig]) -> None:
    """Platforms add some; those of a postback are the network's own."""
    (fault,) = judge(f"{OCEAN}&new=__QUITE_NEW_THING__", known["ocean"], BASE)
    assert (fault.kind, fault.certain, fault.write) == ("unknown", False, None)
    link = f"{BASE}/c/adjust?activity_kind={{activity_kind}}&click_time={{click_time}}&click_id={{click_id}}"
    (fault,) = judge(f"{link}&x={{clicktime}}&y={{IMP}}"[: -len("&y={IMP}")], known["adjust"], BASE)
    assert fault.kind == "misspelt"
    (fault,) = judge(f"{link}&y={{IMP}}", known["adjust"], BASE)
    assert (fault.kind, fault.certain) == ("foreign", False)
    assert corrected(f"{link}&y={{IMP}}", known["adjust"], BASE) == f"{link}&y={{IMP}}"


def test_what_a_link_may_have_besides_is_no_fault(known: dict[str, SourceConfig]) -> None:
    """Values of one's own, macros within a text, an address with a query of its own."""
    for more in (
        "channel=app42",
        "ids=__AID__-__CID__",
        "to=https://a.example/?x=1",
        "empty=",
        "ip=__IPV4__",
    ):
        link = OCEAN.replace("ip=__IP__", more)
        assert judge(link, known["ocean"], BASE) == [], more


def test_a_click_is_not_judged_by_its_values(known: dict[str, SourceConfig]) -> None:
    """Nor by a macro left in; another platform's, and a missing parameter, are faults of its link."""
    source = known["ocean"]
    click = "/c/ocean/app42?ts=1718000000123&ip=__IP__&callback_param=EJiw267wvfQC&caid=%5B%7B%7D%5D&x=a_"
    assert judge(click, source, BASE, of_click=True) == []
    assert not is_link(click, source)
    assert is_link(OCEAN, source)
    for kind, query in (
        ("foreign", "ts=1718000000123&callback_param=abc&idfa2=__IDFA2__"),
        ("misspelt", "ts=1718000000123&callback_param=_CALLBACK_PARAM_"),
        ("missing", "ts=1718000000123"),
    ):
        (fault,) = judge(f"/c/ocean?{query}", source, BASE, of_click=True)
        assert fault.kind == kind
    (fault,) = judge(f"http://click.example.com{click}", source, BASE, of_click=True)
    assert fault.kind == "scheme", "the whole address says more than its path"


def test_a_path_nobody_takes_is_near_one_that_somebody_does(known: dict[str, SourceConfig]) -> None:
    everybody = list(known.values())
    for path, name in (("/c/ocaen/app42", "ocean"), ("/C/Ocean", "ocean"), ("/c//kuaishou/", "kuaishou"),
                       ("/kuaishou", "kuaishou"), ("/c/tencent-legacy/x", "tencent_legacy")):  # fmt: skip
        link = f"{BASE}{path}?a=1"
        assert source_of(link, everybody) is None
        near = near_source(link, everybody)
        assert near is not None
        assert near.name == name
    assert near_source(f"{BASE}/favicon.ico", everybody) is None
    assert source_of(f"{BASE}/c/ocean/app42?a=1", everybody) is known["ocean"]
    assert near_source(OCEAN, []) is None


@given(st.text(max_size=60), st.booleans())
def test_no_text_breaks_the_judgement(tmp: str, of_click: bool) -> None:
    for source in EVERY:
        faults = judge(tmp, source, BASE, of_click=of_click)
        assert all(0 <= fault.start <= fault.end <= len(tmp) for fault in faults)
        fixed = corrected(tmp, source, BASE)
        assert fixed is None or not any(fault.certain for fault in judge(fixed, source, BASE))


@given(
    st.lists(
        st.sampled_from(["&", "?", "=", "&amp;", "/", "#", "%", "__TS__", "_TS_", "ts", "sign", "http://"])
    )
)
def test_no_broken_pieces_break_the_judgement(pieces: list[str]) -> None:
    text = f"{BASE}/c/xiaomi?" + "".join(pieces)
    for source in EVERY:
        fixed = corrected(text, source, BASE)
        assert fixed is None or not any(fault.certain for fault in judge(fixed, source, BASE))


FEW = [{"name": name, "path": f"/c/{name}", "profile": name} for name in ("ocean", "weibo", "generic")]
EVERY = config.parse({"source": FEW}, "c.toml", {}).source
