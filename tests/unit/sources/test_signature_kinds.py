"""Every other kind of signatures, and what holds for all of them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestd.config.secrets import Secret
from ingestd.http.request import Headers
from ingestd.sources import factory, signatures, tokens
from tests.support.desk import BASE, NOW_MS, Desk, Taken, one, secret
from tests.support.fakes import request_for


def result(taken: Taken) -> str:
    value: str = taken.event["signature"]
    return value


CONCAT = 'signature = { kind = "md5_concat", param = "signature", params = ["subId", "transId", "reward"], '


def test_an_offer_wall_signs_its_decoded_values(tmp_path: Path) -> None:
    desk = one("generic", CONCAT + f'key_file = "{secret(tmp_path, "k", "s3cret")}" }}', tmp_path)
    sign = hashlib.md5(b"user 7tx/91.50s3cret").hexdigest()
    assert result(desk.take(f"/c/x?subId=user+7&transId=tx%2F9&reward=1.50&signature={sign}&debug=0")) == "ok"
    assert result(desk.take(f"/c/x?subId=user+7&transId=tx%2F9&reward=9.50&signature={sign}")) == "bad"
    assert result(desk.take("/c/x?subId=user+7&transId=tx%2F9&reward=1.50")) == "missing"


def hmac_url(place: Path, more: str = 'encoding = "hex"') -> Desk:
    key = secret(place, "k", "url-key")
    return one("generic", f'signature = {{ kind = "hmac_sha256_url", key_file = "{key}", {more} }}', place)


def signed(target: str, base: str = BASE) -> bytes:
    return hmac.digest(b"url-key", f"{base}{target}".encode(), "sha256")


def test_an_hmac_over_the_url_verifies_in_hex_and_in_both_base64s(tmp_path: Path) -> None:
    digest = signed("/c/x?a=1")
    assert result(hmac_url(tmp_path, 'encoding = "hex"').take(f"/c/x?a=1&sign={digest.hex()}")) == "ok"
    desk = hmac_url(tmp_path, 'encoding = "base64"')
    plain, url_safe = base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()
    for text in (plain, url_safe, url_safe.rstrip("="), quote(plain, safe="")):
        assert result(desk.take(f"/c/x?a=1&sign={text}")) == "ok"
    assert result(desk.take(f"/c/x?a=2&sign={url_safe}")) == "bad"
    assert result(desk.take("/c/x?a=1&sign=!!!")) == "bad"


def test_an_hmac_over_path_and_query_needs_no_public_base(tmp_path: Path) -> None:
    key = secret(tmp_path, "k", "url-key")
    source = f"""[[source]]
name = "x"
path = "/c/x"
signature = {{ kind = "hmac_sha256_url", key_file = "{key}", covers = "target" }}"""
    digest = signed("/c/x/r?a=1", "").hex()
    assert result(Desk(source, tmp_path, base="").take(f"/c/x/r?a=1&sign={digest}")) == "ok"


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_signed_url_expires(tmp_path: Path, unit: int) -> None:
    desk = hmac_url(tmp_path, 'expires_param = "expires"')
    for seconds, verdict, flags in ((60, "ok", []), (-1, "bad", ["signature_expired"])):
        target = f"/c/x?expires={(NOW_MS // 1000 + seconds) * unit}"
        event = desk.take(f"{target}&sign={signed(target).hex()}").event
        assert (event["signature"], event["flags"]) == (verdict, flags)
    assert desk.demo.signatures == {"ok": 1, "expired": 1}


@pytest.mark.parametrize("expires", ["", "expires=", "expires=soon", "expires=-1", "expires=99999999999999"])
def test_an_expiry_that_cannot_be_read_has_passed(tmp_path: Path, expires: str) -> None:
    target = f"/c/x?{expires}"
    event = (
        hmac_url(tmp_path, 'expires_param = "expires"').take(f"{target}&sign={signed(target).hex()}").event
    )
    assert (event["signature"], event["flags"]) == ("bad", ["signature_expired"])


@pytest.mark.parametrize(("age", "verdict"), [(0, "ok"), (3600, "ok"), (3601, "bad"), (-3601, "bad")])
def test_a_signed_time_bounds_how_late_a_request_may_be_replayed(
    tmp_path: Path, age: int, verdict: str
) -> None:
    desk = hmac_url(tmp_path, 'time_param = "ts", max_age = "1h"')
    target = f"/c/x?ts={NOW_MS // 1000 - age}"
    assert result(desk.take(f"{target}&sign={signed(target).hex()}")) == verdict


@pytest.mark.parametrize("time", ["", "ts=", "ts=now"])
def test_a_time_that_cannot_be_read_is_too_old(tmp_path: Path, time: str) -> None:
    desk = hmac_url(tmp_path, 'time_param = "ts", max_age = "1h"')
    target = f"/c/x?{time}"
    assert result(desk.take(f"{target}&sign={signed(target).hex()}")) == "bad"


@pytest.mark.parametrize(
    ("age", "verdict", "flags"), [(3600, "ok", []), (3601, "bad", ["signature_expired"])]
)
def test_a_time_among_signed_values_bounds_it_too(
    tmp_path: Path, age: int, verdict: str, flags: list[str]
) -> None:
    key = f'key_file = "{secret(tmp_path, "k", "s3cret")}"'
    concat = 'kind = "md5_concat", param = "sign", params = ["id", "ts"], time_param = "ts", max_age = "1h"'
    ts = str(NOW_MS // 1000 - age)
    sign = hashlib.md5(f"7{ts}s3cret".encode()).hexdigest()
    desk = one("generic", f"signature = {{ {concat}, {key} }}", tmp_path)
    event = desk.take(f"/c/x?id=7&ts={ts}&sign={sign}").event
    assert (event["signature"], event["flags"]) == (verdict, flags)


def test_an_hmac_over_the_body_as_sent_is_read_from_its_header(tmp_path: Path) -> None:
    key = secret(tmp_path, "k", "body-key")
    desk = one(
        "generic",
        f'signature = {{ kind = "hmac_sha256_body", key_file = "{key}", header = "X-Hub-Signature-256", '
        'prefix = "sha256=" }',
        tmp_path,
    )
    body = gzip.compress(b'{"a": 1}')
    good = hmac.digest(b"body-key", body, "sha256").hex()
    fields = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    event = desk.take("/c/x", body, {**fields, "x-hub-signature-256": f"sha256={good}"}).event
    assert (event["signature"], event["body"]) == ("ok", {"a": 1})
    assert result(desk.take("/c/x", body, {**fields, "X-Hub-Signature-256": good})) == "bad"
    plain = {**fields, "Content-Encoding": "identity", "X-Hub-Signature-256": f"sha256={good}"}
    assert result(desk.take("/c/x", b'{"a": 1}', plain)) == "bad"
    assert result(desk.take("/c/x", body, fields)) == "missing"


def token(place: Path, more: str) -> Desk:
    key = secret(place, "k", "new-t0ken\nold t0ken/é")
    return one("generic", f'signature = {{ kind = "token", key_file = "{key}", {more} }}', place)


@pytest.mark.parametrize("name", ["t%6B", "%74%6b", "%74k"])
def test_a_token_whose_name_is_escaped_is_not_written_either(tmp_path: Path, name: str) -> None:
    taken = token(tmp_path, 'place = "query", param = "tk"').take(
        f"/c/x?{name}=new-t0ken&a%6B=1&tk=new-t0ken&%=2"
    )
    assert taken.event["params"] == {"tk": ["***", "***"], "ak": "1", "%": "2"}
    assert b"t0ken" not in taken.lines


@pytest.mark.parametrize("good", ["new-t0ken", "old+t0ken%2F%C3%A9".replace("+", "%20")])
def test_a_token_in_the_query_verifies_and_is_not_written(tmp_path: Path, good: str) -> None:
    desk = token(tmp_path, 'place = "query", param = "tk"')
    taken = desk.take(f"/c/x?a=1&tk={good}&b=%")
    assert result(taken) == "ok"
    assert taken.event["params"] == {"a": "1", "tk": "***", "b": "%"}
    assert taken.event["raw"] == "a=1&tk=***&b=%"
    assert b"t0ken" not in taken.lines


def test_a_wrong_token_is_not_written_either(tmp_path: Path) -> None:
    taken = token(tmp_path, 'place = "query", param = "tk"').take("/c/x?tk=new-t0keN&tk=new-t0ken")
    assert result(taken) == "bad"
    assert b"t0ke" not in taken.lines


def test_a_token_in_the_path_is_the_first_segment_and_no_route(tmp_path: Path) -> None:
    desk = token(tmp_path, 'place = "path"')
    taken = desk.take("/c/x/new-t0ken/app42/eu?a=1")
    assert (result(taken), taken.event["path"], taken.event["route"]) == (
        "ok",
        "/c/x/***/app42/eu",
        "app42/eu",
    )
    alone = desk.take("/c/x/new-t0ken").event
    assert (alone["signature"], alone["path"], alone["route"]) == ("ok", "/c/x/***", "")
    assert result(desk.take("/c/x/app42?a=1")) == "bad"
    none = desk.take("/c/x?a=1").event
    assert (none["signature"], none["path"]) == ("missing", "/c/x")
    assert result(desk.take("/c/x//new-t0ken")) == "missing"


def test_a_token_in_a_header_verifies_under_its_prefix(tmp_path: Path) -> None:
    desk = token(tmp_path, 'place = "header", header = "Authorization", prefix = "Bearer "')
    assert result(desk.take("/c/x", headers={"authorization": "Bearer new-t0ken"})) == "ok"
    assert result(desk.take("/c/x", headers={"Authorization": "Bearer nope"})) == "bad"
    assert result(desk.take("/c/x")) == "missing"


# timing


def test_comparisons_take_the_time_of_compare_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def watch(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    for module in (signatures, tokens):
        monkeypatch.setattr(module, "compare_digest", watch)
    assert result(hmac_url(tmp_path).take(f"/c/x?sign={'0' * 64}")) == "bad"
    assert result(token(tmp_path, 'place = "query", param = "tk"').take("/c/x?tk=new-t0ken")) == "bad"
    assert [len(one) for one, _ in compared] == [32, 9, len("old t0ken/é".encode())]


def test_a_wrong_first_byte_takes_as_long_as_a_wrong_last_byte(tmp_path: Path) -> None:
    desk = token(tmp_path, 'place = "query", param = "tk"')
    verifier = desk.sources[0].verifier
    assert verifier is not None
    asked = {
        "first": b"a=1&tk=Xew-t0ken",
        "last": b"a=1&tk=new-t0keX",
    }
    best = dict.fromkeys(asked, float("inf"))
    for _ in range(200):
        for which, raw in asked.items():
            began = time.perf_counter()
            for _ in range(100):
                verifier.check(request_for(raw))
            best[which] = min(best[which], time.perf_counter() - began)
    assert best["first"] / best["last"] == pytest.approx(1, abs=0.3)


# nothing a client sends is an exception


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_any_bytes_as_a_signature_are_one_of_the_results(path_end: bytes, sign: bytes) -> None:
    settings = one("baidu", path="/c/baidu").config.source[0]
    for kind in ("md5_url_key", "md5_concat", "hmac_sha256_url", "hmac_sha256_body", "token"):
        for encoding in ("hex", "base64"):
            chosen = settings.signature.model_copy(
                update={
                    "kind": kind,
                    "encoding": encoding,
                    "params": ("a",),
                    "header": "X",
                    "time_param": "a",
                    "max_age": 1.0,
                }
            )
            keys = [Secret(b"longer than what is tried", "test")]
            verifier = factory.verifier(settings.model_copy(update={"signature": chosen}), keys, BASE)
            request = request_for(path_end + b"&sign=" + sign, Headers({b"X": sign}), path_end)
            request.received_ns = 1
            assert verifier.check(request) in ("bad", "missing")
