"""The signed URLs of platforms: what verifies, what does not, and what a source does with either."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ingestd.errors import RequestRefusedError
from tests.support.desk import BASE, Desk, Taken, one, secret
from tests.support.platforms.cases import SAMPLES
from tests.support.platforms.tampering import CHANGES

BAIDU, XIAOMI = SAMPLES["baidu signed"], SAMPLES["xiaomi signed"]
BAIDU_KEY, XIAOMI_KEY = "test-akey-0001=", "test-sign-key"


def baidu(place: Path, *keys: str, more: str = "") -> Desk:
    name = secret(place, "baidu.key", "\n".join(keys or (BAIDU_KEY,)))
    return one("baidu", f'signature.key_file = "{name}"\n{more}', place, path="/c/baidu")


def result(taken: Taken) -> str:
    value: str = taken.event["signature"]
    return value


# md5 over the URL: the published vectors


def test_baidu_s_vector_verifies(tmp_path: Path) -> None:
    desk = baidu(tmp_path)
    assert result(desk.take(BAIDU)) == "ok"
    assert desk.demo.signatures == {"ok": 1}


def test_xiaomi_s_vector_verifies(tmp_path: Path) -> None:
    name = secret(tmp_path, "xiaomi.key", XIAOMI_KEY)
    desk = one("xiaomi", f'signature.key_file = "{name}"', tmp_path, path="/c/xiaomi")
    assert result(desk.take(XIAOMI)) == "ok"


def test_any_of_several_keys_verifies(tmp_path: Path) -> None:
    assert result(baidu(tmp_path, "older", "other-account=", BAIDU_KEY).take(BAIDU)) == "ok"


def test_a_signed_query_is_kept_as_it_came(tmp_path: Path) -> None:
    assert baidu(tmp_path).take(BAIDU).event["raw"] == BAIDU.partition("?")[2]


@pytest.mark.parametrize("change", CHANGES)
def test_a_signed_url_does_not_verify_when_it_is(tmp_path: Path, change: str) -> None:
    changed = CHANGES[change](BAIDU)
    assert changed != BAIDU
    assert result(baidu(tmp_path).take(changed)) == "bad"


@pytest.mark.parametrize("base", ["http://trk.example.com", "https://trk2.example.com", f"{BASE}:443"])
def test_a_url_signed_for_another_scheme_or_host_does_not_verify(tmp_path: Path, base: str) -> None:
    name = secret(tmp_path, "k", BAIDU_KEY)
    source = f'[[source]]\nname="b"\npath="/c/baidu"\nprofile="baidu"\nsignature.key_file="{name}"'
    assert result(Desk(source, tmp_path, base).take(BAIDU)) == "bad"
    own = source + f'\nsignature.public_base = "{BASE}"'
    assert result(Desk(own, tmp_path, base).take(BAIDU)) == "ok"


def test_a_signature_in_upper_case_is_the_same(tmp_path: Path) -> None:
    base, _, sign = BAIDU.rpartition("=")
    assert result(baidu(tmp_path).take(f"{base}={sign.upper()}")) == "ok"


@pytest.mark.parametrize("sign", ["", "&sign=", "&sign=__SIGN__", "&sign={{SIGN}}", "&sign=%7B%7BSIGN%7D%7D"])
def test_no_signature_is_missing_and_not_bad(tmp_path: Path, sign: str) -> None:
    assert result(baidu(tmp_path).take(BAIDU.rpartition("&sign=")[0] + sign)) == "missing"


def test_without_a_key_nothing_is_verified() -> None:
    desk = one("baidu", path="/c/baidu")
    assert result(desk.take(BAIDU)) == "none"
    assert desk.demo.signatures == {}


def test_a_signature_may_stand_anywhere_where_the_source_says_so(tmp_path: Path) -> None:
    desk = baidu(tmp_path, "k", more="signature.last = false")
    rest = f"{BASE}/c/baidu?a=1&b=2"
    sign = hashlib.md5(f"{rest}k".encode()).hexdigest()
    assert result(desk.take(f"{BASE}/c/baidu?a=1&sign={sign}&b=2")) == "ok"
    assert result(desk.take(f"{BASE}/c/baidu?sign={sign}&a=1&b=2")) == "ok"
    alone = hashlib.md5(f"{BASE}/c/baidu".encode() + b"k").hexdigest()
    assert result(desk.take(f"{BASE}/c/baidu?sign={alone}")) == "ok"


def test_bytes_that_are_no_utf8_are_signed_as_they_are(tmp_path: Path) -> None:
    target = b"/c/baidu?n=\xd6\xd0\xb9\xfa&p=%zz&q=100%"
    sign = hashlib.md5(BASE.encode() + target + b"k").hexdigest().encode()
    event = baidu(tmp_path, "k").take(target + b"&sign=" + sign).event
    assert event["signature"] == "ok"
    assert event["raw"].encode("latin-1") == target.partition(b"?")[2] + b"&sign=" + sign


# what a source does with it


def test_a_source_that_rejects_takes_only_good_signatures(tmp_path: Path) -> None:
    desk = baidu(tmp_path, more='on_bad_signature = "reject"')
    assert result(desk.take(BAIDU)) == "ok"
    for url in (BAIDU + "&x=1", BAIDU.rpartition("&sign=")[0]):
        with pytest.raises(RequestRefusedError) as refused:
            desk.take(url)
        assert refused.value.reason == "signature"
    assert desk.sources[0].replies.refusals["signature"].status == 403
    assert desk.demo.signatures == {"ok": 1, "bad": 1, "missing": 1}


def test_a_replay_of_a_good_signature_is_a_duplicate(tmp_path: Path) -> None:
    desk = baidu(tmp_path, more="dedup_window = 100")
    assert "duplicate" not in desk.take(BAIDU).event["flags"]
    assert "duplicate" in desk.take(BAIDU).event["flags"]


def test_a_bad_signature_does_not_make_the_platform_s_own_event_a_duplicate(tmp_path: Path) -> None:
    desk = baidu(tmp_path, more="dedup_window = 100")
    assert result(desk.take(BAIDU[:-1] + "0")) == "bad"
    assert "duplicate" not in desk.take(BAIDU).event["flags"]
