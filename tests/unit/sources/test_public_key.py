"""Signatures by public keys: the platforms' own examples, and everything that is near one."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

pytest.importorskip(
    "cryptography", reason="the extra `signatures` is not installed: public keys are NOT tested"
)

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from ingestd.config.source import SignatureConfig
from ingestd.errors import ConfigError
from ingestd.http.request import Headers, Request
from ingestd.sources import public_key_files
from ingestd.sources.public_key import SEPARATOR, PublicKeyVerifier
from ingestd.sources.public_key_kinds import SKAN_FIELDS
from tests.support.desk import NOW_MS, Desk, one
from tests.support.platforms.cases import EXAMPLES
from tests.support.signing import CURVE, RSA, jws, key_file, pem, public, with_ecdsa, with_pss

Json = dict[str, Any]
AAK: Json = EXAMPLES["apple_aak"][1]
_OLD: Json = {
    "ad-network-id": "com.example", "campaign-id": 42, "app-id": 525463029, "redownload": True,
    "transaction-id": "6aafb7a5-0170-41b5-bbe4-fe71dedf1e28", "source-app-id": 1234567891,
    "conversion-value": 20,
}  # fmt: skip
# The examples of developer.apple.com/documentation/storekit/verifying-an-install-validation-postback and of
# its pages for earlier versions, with Apple's own signatures.
SKAN: dict[str, Json] = {
    "2.1": _OLD | {
        "version": "2.1", "attribution-signature":
        "MEUCID6rbq3qt4GvFaAaynh5/LAcvn1d8CQTRhrZhLIxLKntAiEAo7IrvoMw6u2qDg6Tr5vIsEHXjlLkPlCOL0ojJcEh3Qw=",
    },
    "2.2": _OLD | {
        "version": "2.2", "fidelity-type": 1, "attribution-signature":
        "MEYCIQDTuQ1Z4Tpy9D3aEKbxLl5J5iKiTumcqZikuY/AOD2U7QIhAJAaiAv89AoquHXJffcieEQXdWHpcV8ZgbKN0EwV9/sY",
    },
    "3 won": _OLD | {
        "version": "3.0", "ad-network-id": "example123.skadnetwork", "fidelity-type": 1, "did-win": True,
        "attribution-signature":
        "MEYCIQD5eq3AUlamORiGovqFiHWI4RZT/PrM3VEiXUrsC+M51wIhAPMANZA9c07raZJ64gVaXhB9+9yZj/X6DcNxONdccQij",
    },
    "3 lost": {
        "version": "3.0", "ad-network-id": "example123.skadnetwork", "campaign-id": 42, "app-id": 525463029,
        "transaction-id": "f9ac267a-a889-44ce-b5f7-0166d11461f0", "redownload": True, "fidelity-type": 1,
        "did-win": False, "attribution-signature":
        "MEUCIQDDetUtkyc/MiQvVJ5I6HIO1E7l598572Wljot2Onzd4wIgVJLzVcyAV+TXksGNoa0DTMXEPgNPeHCmD4fw1ABXX0g=",
    },
    "4 fine": EXAMPLES["apple_skan"][1],
    "4 coarse": {
        "version": "4.0", "ad-network-id": "com.example", "source-identifier": "39", "app-id": 525463029,
        "transaction-id": "6aafb7a5-0170-41b5-bbe4-fe71dedf1e31", "redownload": False,
        "source-domain": "example.com", "fidelity-type": 1, "did-win": True, "postback-sequence-index": 0,
        "coarse-conversion-value": "high", "attribution-signature":
        "MEUCIQD4rX6eh38qEhuUKHdap345UbmlzA7KEZ1bhWZuYM8MJwIgMnyiiZe6heabDkGwOaKBYrUXQhKtF3P/ERHqkR/XpuA=",
    },
}  # fmt: skip


def verifier(kind: str, **settings: Any) -> PublicKeyVerifier:
    return public_key_files.build(SignatureConfig.model_validate({"kind": kind, **settings}))


def posted(body: Json | bytes, **headers: str) -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content_Type": "application/json; charset=utf-8"} | headers
    fields = Headers({name.replace("_", "-").encode(): value.encode() for name, value in headers.items()})
    request = Request(b"POST", b"/x", fields, content)
    request.received_ns = NOW_MS * 1_000_000
    return request


def got(query: bytes) -> Request:
    request = Request(b"GET", b"/x?" + query, Headers(), b"")
    request.query = query
    return request


# SKAdNetwork


@pytest.mark.parametrize("example", SKAN)
def test_apple_s_examples_verify_with_its_production_key(example: str) -> None:
    assert verifier("apple_skan").verdict(posted(SKAN[example])) == ("ok", "apple-cas-identifier/0")


@pytest.mark.parametrize("example", SKAN)
def test_every_signed_field_is(example: str) -> None:
    postback = SKAN[example]
    for name in SKAN_FIELDS[postback["version"]]:
        if name in postback:
            without = {key: value for key, value in postback.items() if key != name}
            assert verifier("apple_skan").check(posted(without)) == "bad", name
            other = not postback[name] if isinstance(postback[name], bool) else f"{postback[name]}1"
            assert verifier("apple_skan").check(posted(postback | {name: other})) == "bad", name


def test_what_is_not_signed_may_be_anything() -> None:
    changed = SKAN["4 fine"] | {"conversion-value": 1, "coarse-conversion-value": "low", "country-code": "FR"}
    assert verifier("apple_skan").check(posted(changed)) == "ok"


@pytest.mark.parametrize("change", [
    {"version": "1.0"}, {"version": "5.0"}, {"version": 4}, {"version": ["4.0"]}, {"app-id": None},
    {"app-id": 525463029.0}, {"app-id": {"a": 1}}, {"source-app-id": "example.com"},
    {"attribution-signature": "MEUC"}, {"attribution-signature": "no base64!"},
    {"attribution-signature": "é"}, {"redownload": "False"},
    {"source-identifier": f"5239{SEPARATOR}525463029", "app-id": ""},
])  # fmt: skip
def test_what_is_nearly_a_postback_is_bad(change: Json) -> None:
    assert verifier("apple_skan").check(posted(SKAN["4 fine"] | change)) == "bad"


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"7", b'"x"', b"{}", b'{"attribution-signature":7}', b'{"attribution-signature":""}',
    b'{"attribution-signature":"{signature}"}', b"\xff", b'{"x":"' + b"y" * 65536 + b'"}',
])  # fmt: skip
def test_a_body_without_a_signature_has_none(body: bytes) -> None:
    assert verifier("apple_skan").check(posted(body)) == "missing"


def test_a_compressed_body_is_read_and_a_bomb_is_not() -> None:
    good = gzip.compress(json.dumps(SKAN["4 fine"]).encode())
    assert verifier("apple_skan").check(posted(good, Content_Encoding="gzip")) == "ok"
    bomb = gzip.compress(b" " * 10_000_000 + json.dumps(SKAN["4 fine"]).encode())
    assert verifier("apple_skan").check(posted(bomb, Content_Encoding="gzip")) == "missing"


def test_a_text_signed_in_one_field_is_not_taken_from_another() -> None:
    """source-app-id and source-domain stand in one place: both at once would be two for one."""
    moved = {
        ("source-app-id" if key == "source-domain" else key): value for key, value in SKAN["4 fine"].items()
    }
    assert verifier("apple_skan").check(posted(moved | {"source-domain": "example.com"})) == "bad"


# AdAttributionKit


def test_a_postback_of_development_verifies_only_where_it_is_asked_for() -> None:
    assert verifier("apple_aak").verdict(posted(AAK)) == ("bad", None)
    assert verifier("apple_aak", test_keys=True).verdict(posted(AAK)) == (
        "ok",
        "apple-development-identifier/1",
    )
    assert verifier("apple_skan", test_keys=True).check(posted(SKAN["4 fine"])) == "ok"


OURS = {"public_keys": {"k/1": public(CURVE)}}


def test_the_key_is_chosen_by_its_id_and_no_other_is_tried() -> None:
    claims = {"postback-identifier": "p"}
    check = verifier("apple_aak", **OURS).verdict
    assert check(posted({"jws-string": jws({"kid": "k/1", "alg": "ES256"}, claims)})) == ("ok", "k/1")
    for kid in ("k/2", "apple-cas-identifier/0", "", 1, None, ["k/1"]):
        assert check(posted({"jws-string": jws({"kid": kid, "alg": "ES256"}, claims)})) == ("bad", None)


@pytest.mark.parametrize("alg", ["none", "HS256", "ES384", "", None])
def test_the_header_s_algorithm_decides_nothing(alg: str | None) -> None:
    check = verifier("apple_aak", **OURS).check
    signed = jws({"kid": "k/1", "alg": alg}, {})
    assert check(posted({"jws-string": signed})) == "ok"
    unsigned = signed.rpartition(".")[0] + "."
    assert check(posted({"jws-string": unsigned})) == "bad"
    by_public_key = unsigned + base64.urlsafe_b64encode(b"\0" * 64).decode().rstrip("=")
    assert check(posted({"jws-string": by_public_key})) == "bad"


@pytest.mark.parametrize("change", [
    lambda text: text + "A", lambda text: text[:-4], lambda text: "." + text, lambda text: text + ".x",
    lambda text: text.replace(".", "..", 1), lambda text: text.partition(".")[2], lambda text: "a.b.c",
    lambda text: text[:30] + ("A" if text[30] != "A" else "B") + text[31:], lambda text: text + "é",
    lambda _: "..",
])  # fmt: skip
def test_a_jws_that_is_changed_is_bad(change: Callable[[str], str]) -> None:
    signed = jws({"kid": "k/1"}, {"postback-identifier": "p"})
    assert verifier("apple_aak", **OURS).check(posted({"jws-string": change(signed)})) == "bad"


def test_an_extension_that_must_be_understood_is_bad() -> None:
    signed = jws({"kid": "k/1", "crit": ["exp"], "exp": 1}, {})
    assert verifier("apple_aak", **OURS).check(posted({"jws-string": signed})) == "bad"


@pytest.mark.parametrize("value", [None, 1, "", [], {}, "__JWS__"])
def test_without_a_jws_there_is_no_signature(value: object) -> None:
    assert verifier("apple_aak").check(posted({"jws-string": value})) == "missing"


def test_the_payload_identifies_the_event_and_outweighs_what_is_not_signed() -> None:
    desk = one("apple_aak", "signature.test_keys = true\ndedup_window = 10")
    body = AAK | {"postback-identifier": "another", "conversion-value": 1}
    first = desk.take("/c/x", json.dumps(AAK).encode(), {"Content-Type": "application/json"}).event
    again = desk.take("/c/x", json.dumps(body).encode(), {"Content-Type": "application/json"}).event
    assert (first["signature"], first["flags"]) == ("ok", [])
    assert (again["signature"], again["flags"]) == ("ok", ["duplicate"])
    assert again["dup_key"] == first["dup_key"]
    assert again["body"] == body, "the body stays as it came"


def test_what_is_no_jws_has_no_payload() -> None:
    for value in ("a.b.c", "a..c", "..", "a", 7, None, "a.W10.c", "a.bnVsbA.c", "é.é.é"):
        keys = {"jws-string": value}
        assert verifier("apple_aak").signed(keys | {"did-win": True}) == keys


# RSASSA-PSS

PARAMS = ["ad_tech_id", "campaign_id", "source_id", "trigger_data", "nonce", "timestamp"]
RESULT: Json = {
    "ad_tech_id": "12345678",
    "trigger_data": 12,
    "nonce": "17aa",
    "timestamp": NOW_MS,
    "more": "x",
}


def rsa_pss(**more: Any) -> PublicKeyVerifier:
    return verifier("rsa_pss", param="signature", params=PARAMS, public_keys={"k": public(RSA)}, **more)


def test_the_fields_that_are_there_are_signed_in_their_order() -> None:
    signed = with_pss(RESULT, "12345678", 12, "17aa", NOW_MS)
    assert rsa_pss().verdict(posted(signed)) == ("ok", "k")
    assert rsa_pss().check(posted(signed | {"campaign_id": "", "source_id": None})) == "ok"
    assert rsa_pss().check(posted(signed | {"more": "y"})) == "ok"
    assert rsa_pss().check(posted(signed | {"campaign_id": "50"})) == "bad"
    assert rsa_pss().check(posted(signed | {"nonce": "17ab"})) == "bad"
    assert rsa_pss().check(posted(with_pss(RESULT, "17aa", 12, "12345678", NOW_MS))) == "bad"


@pytest.mark.parametrize("salt", [0, 20, 32, 64])
def test_any_length_of_salt_is_taken(salt: int) -> None:
    assert rsa_pss().check(posted(with_pss(RESULT, "12345678", 12, "17aa", NOW_MS, salt=salt))) == "ok"


def test_another_padding_or_another_key_is_bad() -> None:
    content = SEPARATOR.join(["12345678", "12", "17aa", str(NOW_MS)]).encode()
    old = RSA.sign(content, padding.PKCS1v15(), SHA256())
    assert rsa_pss().check(posted(RESULT | {"signature": base64.b64encode(old).decode()})) == "bad"
    assert rsa_pss().check(posted(RESULT | {"signature": "AAAA"})) == "bad"
    assert rsa_pss().check(posted(RESULT)) == "missing"


@pytest.mark.parametrize(
    ("away_ms", "result"), [(0, "ok"), (299_000, "ok"), (-301_000, "expired"), (301_000, "expired")]
)
def test_a_time_out_of_bounds_is_expired(away_ms: int, result: str) -> None:
    at = NOW_MS + away_ms
    signed = with_pss(RESULT | {"timestamp": at}, "12345678", 12, "17aa", at)
    assert rsa_pss(time_param="timestamp", max_age="5m").check(posted(signed)) == result
    assert rsa_pss(time_param="timestamp", max_age="5m").check(posted(signed | {"nonce": "x"})) == "bad"


# ECDSA over the query


@pytest.mark.parametrize("form", ["base64", "pem"])
def test_a_query_verifies_by_a_key_of_the_file(tmp_path: Path, form: str) -> None:
    check = verifier(
        "ecdsa_query", param="signature", key_file=key_file(tmp_path, (7, CURVE), form=form)
    ).verdict
    query = b"ad_unit=27&reward_amount=5&transaction_id=18fa"
    assert check(got(with_ecdsa(query))) == ("ok", "7")
    assert check(got(with_ecdsa(query, key_id=b"8"))) == ("bad", None)
    assert check(got(with_ecdsa(query).replace(b"amount=5", b"amount=6"))) == ("bad", None)
    assert check(got(with_ecdsa(query) + b"&reward_amount=9")) == ("bad", None), (
        "nothing follows the signature"
    )
    assert check(got(query)) == ("missing", None)
    assert check(got(query + b"&signature=&key_id=7")) == ("missing", None)
    assert check(got(query + b"&signature=%SIGNATURE%&key_id=7")) == ("missing", None)
    assert check(got(query + b"&signature=AAAA&key_id=7")) == ("bad", None)


def test_a_query_with_escapes_may_be_signed_decoded_or_as_it_came(tmp_path: Path) -> None:
    check = verifier("ecdsa_query", param="signature", key_file=key_file(tmp_path, (7, CURVE))).check
    query, decoded = (
        b"custom_data=a%3D1%26b&reward_item=Key%20Doubler",
        b"custom_data=a=1&b&reward_item=Key Doubler",
    )
    assert check(got(with_ecdsa(query, signed=decoded))) == "ok"
    assert check(got(with_ecdsa(query))) == "ok"


@pytest.mark.parametrize("smuggled", [
    b"custom_data=a&reward_amount=1000&reward_amount=5&user_id=u x",
    b"custom_data=a&reward_amount=1000&reward_amount=5&user_id=u%20x",
    b"custom_data=a&reward_amoun%74=1000&reward_amount=5&user_id=u%20x",
    b"custom_data=a&reward_amount%3d1000&reward_amount=5&user_id=u%20x",
])  # fmt: skip
def test_a_value_is_not_taken_for_a_parameter_of_its_own(tmp_path: Path, smuggled: bytes) -> None:
    """Decoded, all are one text. Only the first has each name once, in the platform's order."""
    check = verifier("ecdsa_query", param="signature", key_file=key_file(tmp_path, (7, CURVE))).check
    genuine = b"custom_data=a%26reward_amount%3D1000&reward_amount=5&user_id=u%20x"
    signed = with_ecdsa(genuine, signed=b"custom_data=a&reward_amount=1000&reward_amount=5&user_id=u x")
    assert check(got(signed)) == "ok"
    assert check(got(signed.replace(genuine, smuggled))) == "bad"


PARAMS_OF_ADMOB = ["custom_data", "reward_amount", "transaction_id", "user_id"]


@pytest.mark.parametrize(("query", "params", "result"), [
    (b"custom_data=a%26b=1&transaction_id=18fa", PARAMS_OF_ADMOB, "ok"),
    (b"custom_data=a%26mode%3D1&transaction_id=18fa", PARAMS_OF_ADMOB, "ok"),
    (b"custom_data=a%26mode%3D1&transaction_id=18fa", [], "bad"),
    (b"custom_data=a%26reward_amount%3D9&reward_amount=5&transaction_id=18fa", PARAMS_OF_ADMOB, "ok"),
    (b"custom_data=a&reward_amount=5&transaction_id=18fa%26user_id%3Du", PARAMS_OF_ADMOB, "bad"),
    (b"custom_data=a%26reward_amount=5%26transaction_id=18fb&user_id=u", PARAMS_OF_ADMOB, "bad"),
    (b"transaction_id=18fa%26user_id&user_id=u", PARAMS_OF_ADMOB, "ok"),
])  # fmt: skip
def test_a_parameter_is_not_taken_for_a_part_of_the_value_before(
    tmp_path: Path, query: bytes, params: list[str], result: str
) -> None:
    """Another transaction_id would make a second reward of one: user_id is the next in order, so a name."""
    path = key_file(tmp_path, (7, CURVE))
    check = verifier("ecdsa_query", param="signature", params=params, key_file=path).check
    assert check(got(with_ecdsa(query, signed=unquote_to_bytes(query)))) == result


def test_a_body_with_a_signed_query_is_not_signed(tmp_path: Path) -> None:
    check = verifier("ecdsa_query", param="signature", key_file=key_file(tmp_path, (7, CURVE))).check
    request = got(with_ecdsa(b"reward_amount=5"))
    assert check(request) == "ok"
    request.body = b"reward_amount=1000"
    assert check(request) == "bad"


def test_a_reload_reads_the_keys_again(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    settings = f'signature.key_file = "{key_file(tmp_path, (7, CURVE))}"'
    url = b"/c/x?" + with_ecdsa(b"transaction_id=18fa")
    assert one("admob", settings).take(url).event["signature"] == "ok"
    key_file(tmp_path, (7, other), (9, CURVE))
    assert one("admob", settings).take(url).event["signature"] == "bad"
    assert one("admob", settings).take(url.replace(b"key_id=7", b"key_id=9")).event["signature"] == "ok"


# what is unsigned, beside what is signed

GENUINE = {
    "apple_skan": ("transaction-id", json.dumps(SKAN["3 won"])),
    "apple_aak": ("postback-identifier", json.dumps(AAK)),
}
MORE: dict[str, Json] = {
    "apple_skan": {"postback-sequence-index": 7},
    "apple_aak": {"postback-identifier": "another", "postback-sequence-index": 7},
}


@pytest.mark.parametrize("profile", GENUINE)
def test_an_unsigned_value_makes_no_other_event_of_a_postback(profile: str) -> None:
    """A genuine postback that is sent again is a duplicate, whatever is sent along."""
    name, body = GENUINE[profile]
    desk = one(profile, "signature.test_keys = true\ndedup_window = 100")
    json_type = {"Content-Type": "application/json"}
    first = desk.take(b"/c/x", body.encode(), json_type).event
    assert (first["signature"], first["flags"]) == ("ok", [])
    further = json.dumps({**MORE[profile], **json.loads(body)}).encode()
    for target, content in (
        (b"/c/x?%b=another&postback-sequence-index=7&jws-string=z" % name.encode(), body.encode()),
        (b"/c/x", further),
    ):
        again = desk.take(target, content, json_type).event
        assert (again["signature"], again["flags"], again["dup_key"]) == (
            "ok", ["duplicate"], first["dup_key"],
        )  # fmt: skip


@pytest.mark.parametrize(("media_type", "result"), [
    ("application/json", "ok"), ("Application/JSON;charset=UTF-8", "ok"), ("application/vnd.x+json", "ok"),
    ("", "missing"), ("text/plain", "missing"), ("application/x-www-form-urlencoded", "missing"),
    ("application/x-ndjson", "missing"), ("application/json-seq", "missing"),
    ("application/jsonl", "missing"),
])  # fmt: skip
def test_only_a_body_that_is_one_event_of_json_is_signed(media_type: str, result: str) -> None:
    """NDJSON would make events of the lines of a signed object; a form or a text has no keys."""
    inside = json.dumps({"x": ["\n", 1]} | SKAN["3 won"]).replace('"\\n"', '\n{"transaction-id":"forged"}\n')
    taken = one("apple_skan").take(b"/c/x", inside.encode(), {"Content-Type": media_type})
    assert {event["signature"] for event in taken.events} == {result}


def test_a_link_s_own_parameters_stay() -> None:
    taken = one("apple_skan", 'key = ["app"]').take(
        b"/c/x?app=demo", json.dumps(SKAN["3 won"]).encode(), {"Content-Type": "application/json"}
    )
    assert (taken.event["signature"], taken.event["params"]) == ("ok", {"app": "demo"})
    assert taken.keys == (b"demo",)


# keys


@pytest.mark.parametrize(("content", "what"), [
    (b"", "neither PEM nor JSON"), (b"secret", "neither PEM nor JSON"), (b"{", "is not of the form"),
    (b'{"keys":[]}', "is not of the form"), (b'{"keys":[{"keyId":1}]}', "is not of the form"),
    (b'{"keys":[7]}', "is not of the form"), (b'{"keys":[{"keyId":1,"pem":7}]}', "is not of the form"),
    (b'{"keys":[{"keyId":1,"pem":"x"}]}', "1: is not a public key"),
    (pem(RSA), r"keys, key 1: is not a key of the kind that is needed, P-256"),
    (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "keys, key 1: is not a public key"),
])  # fmt: skip
def test_a_file_without_a_usable_key_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ConfigError, match=f"source x: signature: .*{what}"):
        one("admob", f'signature.key_file = "{tmp_path / "keys"}"')


@pytest.mark.parametrize(("more", "what"), [
    ('signature.key_file = "gone"', "gone: No such file"),
    ('signature.public_keys = { k = "AAAA" }', "k: is not a public key"),
    (f'signature.public_keys = {{ k = "{public(RSA)}" }}', "P-256"),
])  # fmt: skip
def test_a_key_that_cannot_be_used_is_named(tmp_path: Path, more: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        one("admob", more, tmp_path)


def test_a_short_rsa_key_and_another_curve_are_refused() -> None:
    for key in (rsa.generate_private_key(65537, 1024), CURVE):
        with pytest.raises(public_key_files.PublicKeyError, match="RSA with 2048 bits"):
            verifier("rsa_pss", param="s", params=["a"], public_keys={"k": public(key)})
    with pytest.raises(public_key_files.PublicKeyError, match="P-256"):
        verifier("apple_skan", public_keys={"k": public(ec.generate_private_key(ec.SECP384R1()))})


def test_keys_of_a_pem_file_are_all_tried(tmp_path: Path) -> None:
    (tmp_path / "two.pem").write_bytes(pem(rsa.generate_private_key(65537, 2048)) + pem(RSA))
    check = verifier("rsa_pss", param="signature", params=PARAMS, key_file=str(tmp_path / "two.pem")).verdict
    assert check(posted(with_pss(RESULT, "12345678", 12, "17aa", NOW_MS))) == ("ok", "two.pem, key 2")


def test_without_the_package_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"apple_skan needs the package cryptography.*cryptography>=47"):
        one("apple_skan")
    Desk('[[source]]\nname = "x"\npath = "/c"\nprofile = "apple_skan"\nsignature = { kind = "none" }')
