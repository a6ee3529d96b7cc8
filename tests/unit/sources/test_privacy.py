"""Privacy: what a source must not write is nowhere in its events, and nothing else is lost."""

from __future__ import annotations

import hashlib
import hmac
import logging
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

import orjson
import pytest
from ahocorasick_rs import BytesAhoCorasick
from hypothesis import assume, given
from hypothesis import strategies as st

from ingestd.sources import null_values, privacy
from ingestd.sources.privacy import truncate_ip
from tests.support.desk import Desk, one, secret
from tests.support.fakes import headers, make_source, request_for, taken

IMEI = "867530901234567"


def desk(more: str, place: Path = Path()) -> Desk:
    return one("generic", more, place)


def test_drop_removes_the_parameter_from_params_and_raw() -> None:
    event = desk('privacy = { imei = "drop" }').take(f"/c/x?a=1&imei={IMEI}&b=%zz").event
    assert event["params"] == {"a": "1", "b": "%zz"}
    assert event["raw"] == "a=1&b=%zz"


def test_sha256_and_hmac_replace_the_value(tmp_path: Path) -> None:
    key = f'privacy_key_file = "{secret(tmp_path, "k", "pepper")}"'
    place = desk(f'{key}\nprivacy = {{ imei = "sha256", oaid = "hmac" }}', tmp_path)
    event = place.take(f"/c/x?imei={IMEI}&oaid=a%2Fb+c&n=%").event
    sha, mac = hashlib.sha256(IMEI.encode()).hexdigest(), hmac.digest(b"pepper", b"a/b c", "sha256").hex()
    assert event["params"] == {"imei": sha, "oaid": mac, "n": "%"}
    assert event["raw"] == f"imei={sha}&oaid={mac}&n=%"


def test_the_same_value_becomes_the_same_and_keys_and_duplicates_still_work(tmp_path: Path) -> None:
    more = f"""privacy_key_file = "{secret(tmp_path, "k", "pepper")}"
privacy = {{ oaid = "hmac", click = "sha256" }}
key = ["oaid"]
dedup = ["click"]
dedup_window = 10"""
    place = desk(more, tmp_path)
    first, again = (
        place.take("/c/x?oaid=device-1&click=c-00001"),
        place.take("/c/x?oaid=device-1&click=c-00001"),
    )
    assert first.event["dup_key"] == again.event["dup_key"]
    assert again.event["flags"] == ["duplicate"]
    assert first.keys == (hmac.digest(b"pepper", b"device-1", "sha256").hex().encode(),)


@pytest.mark.parametrize("value", ["", "__IMEI__", "%7BIMEI%7D", "null", "0", "000000000000000"])
def test_what_names_nobody_stays_so_that_it_is_flagged(value: str) -> None:
    event = desk('privacy = { imei = "sha256" }').take(f"/c/x?imei={value}&n=%").event
    assert event["raw"] == f"imei={value}&n=%"


def test_a_name_spelled_with_escapes_is_the_same_name() -> None:
    taken = desk('privacy = { "my imei" = "drop" }').take(f"/c/x?a=1&my+%69mei={IMEI}&%6dy%20imei={IMEI}")
    assert taken.event["params"] == {"a": "1"}


def test_a_repeated_parameter_is_replaced_each_time() -> None:
    event = desk('privacy = { imei = "sha256" }').take(f"/c/x?imei={IMEI}&imei=123456789").event
    both = [hashlib.sha256(one.encode()).hexdigest() for one in (IMEI, "123456789")]
    assert event["params"]["imei"] == both


def test_the_value_is_not_found_elsewhere_in_the_request() -> None:
    nested = quote(f"https://x.example/?imei={IMEI}", safe="")
    taken = desk('privacy = { imei = "drop" }').take(
        f"/c/x/{IMEI}?imei={IMEI}&callback={nested}&n=%",
        headers={"User-Agent": f"app/1 ({IMEI})", "X-Forwarded-For": f"unknown-{IMEI}"},
    )
    assert IMEI.encode() not in taken.lines
    assert taken.event["route"] == "***"
    assert taken.event["path"] == "/c/x/***"


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def test_a_form_is_treated_as_the_query_is() -> None:
    event = desk('privacy = { imei = "drop" }').take("/c/x", f"imei={IMEI}&b=%zz".encode(), FORM).event
    assert event["params"] == {"b": "%zz"}
    assert event["body"] == "b=%zz"


def test_json_loses_the_value_at_any_depth_and_keeps_its_other_bytes() -> None:
    kept = '"n":1.50,"big":12345678901234567890123'
    body = f'{{{kept},"device":{{"imei":"{IMEI}","os":[1,2.0]}},"imei":{IMEI}}}'
    taken = desk('privacy = { imei = "sha256" }').take("/c/x", body.encode(), JSON)
    sha = hashlib.sha256(IMEI.encode()).hexdigest()
    expected = f'"body":{{{kept},"device":{{"imei":"{sha}","os":[1,2.0]}},"imei":"{sha}"}}'
    assert expected.encode() in taken.lines


def test_json_arrays_and_lines_are_treated_element_by_element() -> None:
    place = desk('privacy = { imei = "drop" }')
    many = place.take("/c/x", f'[{{"imei":"{IMEI}","a":1}},{{"a":2,"imei":null}}]'.encode(), JSON)
    assert [event["body"] for event in many.events] == [{"a": 1}, {"a": 2}]
    lines = {"Content-Type": "application/x-ndjson"}
    many = place.take("/c/x", f'{{"imei":"{IMEI}"}}\n\n{{"a":2}}\n'.encode(), lines)
    assert [event["body"] for event in many.events] == [{}, {"a": 2}]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (f'{{"imei":"{IMEI}"', "application/json"),
        (f'{{"a":1}}\n{{"imei":"{IMEI}"', "application/x-ndjson"),
        (f"imei={IMEI}", "text/plain"),
        (f"imei={IMEI}", ""),
        ('{"a":' * 2000 + IMEI + "}" * 2000, "application/json"),
    ],
)
def test_a_body_that_cannot_be_told_apart_is_withheld(body: str, content_type: str) -> None:
    taken = desk('privacy = { imei = "drop" }').take(
        "/c/x?a=1", body.encode(), {"Content-Type": content_type}
    )
    assert IMEI.encode() not in taken.lines
    assert "body_withheld" in taken.event["flags"]
    assert "body" not in taken.event
    assert taken.event["params"] == {"a": "1"}


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("203.0.113.77:4711", "203.0.113.0"),
        ("2001:db8:1234:5678::1", "2001:db8:1234::"),
        ("[2001:db8:1234:5678::1]:4711", "2001:db8:1234::"),
        ("2409:8a55:3c21:9f10::1%eth0", "2409:8a55:3c21::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("::1", "::"),
        ("no address", ""),
        ("1.2.3", ""),
        ("1.2.3.4\0", ""),
        ("", ""),
    ],
)
def test_truncation_keeps_the_network(address: str, kept: str) -> None:
    assert truncate_ip(address.encode()) == kept.encode()


def test_addresses_are_truncated_wherever_they_stand() -> None:
    place = desk('address_privacy = "truncate_ip"\nip_param = "ip"')
    event = place.take(
        "/c/x?ip=198.51.100.23&note=198.51.100.23&n=%",
        headers={"X-Forwarded-For": "198.51.100.23, 2001:db8:1:2::3, junk"},
        client="198.51.100.23",
    ).event
    assert event["client_ip"] == "198.51.100.0"
    assert event["forwarded_for"] == "198.51.100.0, 2001:db8:1::, unknown"
    assert event["params"]["ip"] == "198.51.100.0"
    assert event["params"]["note"] == "198.51.100.0"


def test_addresses_can_be_dropped_or_hashed() -> None:
    gone = desk('address_privacy = "drop"').take("/c/x").event
    assert (gone["client_ip"], gone["forwarded_for"]) == ("", "")
    hashed = desk('address_privacy = "sha256"').take("/c/x").event
    assert hashed["client_ip"] == hashed["forwarded_for"] == hashlib.sha256(b"198.51.100.23").hexdigest()


def test_the_signature_is_verified_over_what_came(tmp_path: Path) -> None:
    key = secret(tmp_path, "k", "key")
    place = one("baidu", f'signature.key_file = "{key}"\nprivacy = {{ imei_md5 = "drop" }}', tmp_path)
    query = "imei_md5=c7fdcbc18e37da49c717feeae3afeee9&click_id=1"
    sign = hashlib.md5(f"https://trk.example.com/c/x?{query}key".encode()).hexdigest()
    event = place.take(f"/c/x?{query}&sign={sign}").event
    assert (event["signature"], event["raw"]) == ("ok", f"click_id=1&sign={sign}")


# whatever is sent

VALUES = st.binary(min_size=6, max_size=40).filter(
    lambda value: null_values.real(value.decode("utf-8", "replace")) is not None
)


class Catch(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize("action", ["drop", "sha256"])
@given(value=VALUES, before=st.binary(max_size=30), after=st.binary(max_size=30))
def test_no_trace_of_the_original_is_left_in_the_event_or_the_logs(
    action: str, value: bytes, before: bytes, after: bytes
) -> None:
    handler = Catch()
    escaped = quote_from_bytes(value, safe="").encode()
    before, after = (part.replace(b"imei", b"") for part in (before, after))
    logging.getLogger().addHandler(handler)
    try:
        taken = desk(f'privacy = {{ imei = "{action}" }}').take(
            b"/c/x/" + escaped + b"?" + before + b"&imei=" + escaped + b"&" + after,
            headers={"User-Agent": b"agent " + value.replace(b"\n", b"")},
        )
    finally:
        logging.getLogger().removeHandler(handler)
    shown, others = (part.decode("utf-8", "replace") for part in (value, before + after))
    assume(shown not in others)
    event = taken.event
    texts = [event["path"], event["route"], event.get("raw", ""), event["user_agent"]]
    texts += texts_of(event["params"])
    assert not [text for text in texts if shown in text or escaped.decode() in text]
    assert not handler.records


def texts_of(params: dict[str, str | list[str]]) -> list[str]:
    lists = [value if isinstance(value, list) else [value] for value in params.values()]
    return [text for texts in lists for text in texts]


@pytest.mark.parametrize("count", [3, 16, 17, 2000])
@pytest.mark.parametrize("form", [True, False])
def test_many_values_are_taken_out_wherever_they_stand_else(count: int, form: bool) -> None:
    """A form of 240 KB held the loop for 37 s: each value was looked for in all of the body."""
    values = [f"86{number:013}" if number % 2 else f"a/b+c {number:06}" for number in range(count)]
    if form:
        body = "&".join(f"imei={quote(value)}&note=see-{quote(value)}-there" for value in values).encode()
    else:
        body = orjson.dumps([{"imei": value, "note": f"see-{value}-there"} for value in values])
    media_type = "application/x-www-form-urlencoded" if form else "application/json"
    source = make_source(privacy={"imei": "sha256"})
    made = taken(source, request_for(b"", headers(Content_Type=media_type), body))
    assert not [
        value for value in values if value.encode() in made.data or quote(value).encode() in made.data
    ]
    assert made.data.count(b"see-") == made.data.count(b"-there") == count
    for value in values:
        assert sha256(value.encode()).hexdigest().encode() in made.data


def test_many_values_are_looked_for_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []

    class Counted:
        def __init__(self, values: list[bytes], **options: object) -> None:
            self.finder = BytesAhoCorasick(values, **options)  # type: ignore[arg-type]

        def find_matches_as_indexes(self, part: bytes) -> list[tuple[int, int, int]]:
            searched.append(len(part))
            return self.finder.find_matches_as_indexes(part)

    monkeypatch.setattr(privacy, "BytesAhoCorasick", Counted)
    body = b"&".join(b"imei=86%013d" % number for number in range(5000))
    request = request_for(b"a=b", headers(Content_Type="application/x-www-form-urlencoded"), body)
    made = taken(make_source(privacy={"imei": "sha256"}), request)
    assert made.count == 1
    assert sum(searched) < 2 * 5000 * len("imei=&" + 64 * "0")
