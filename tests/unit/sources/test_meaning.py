"""Event times, keys of duplicates and of Kafka, and the limit on a source's rate."""

from __future__ import annotations

import hashlib

import pytest

from ingestd.errors import RequestRefusedError
from ingestd.sources.null_values import NULL_LIKE, real
from ingestd.sources.rate_limit import SECOND, RateLimit
from tests.support.desk import NOW_MS, one

HOUR = 3_600_000

# event_at


@pytest.mark.parametrize(
    ("unit", "value", "event_at"),
    [
        ("auto", "1718000000", 1718000000000),
        ("auto", "1718000000123", 1718000000123),
        ("auto", "99999999999", None),
        ("s", "1718000000", 1718000000000),
        ("ms", "1718000000123", 1718000000123),
        ("ms", "1718000000", 1718000000),
        ("auto", "", None),
        ("auto", "0", None),
        ("auto", "-1718000000", None),
        ("auto", "__TS__", None),
        ("auto", "1718000000.5", None),
        ("auto", "9" * 5000, None),
        ("auto", "2024-06-10", None),
    ],
)
def test_a_time_is_read_in_its_unit(unit: str, value: str, event_at: int | None) -> None:
    desk = one("generic", f'event_time = {{ param = "ts", unit = "{unit}" }}')
    assert desk.take(f"/c/x?ts={value}").event["event_at"] == event_at


@pytest.mark.parametrize("body", ['{"ts":1718000000}', '{"ts":"1718000000"}', '{"ts":[1718000000]}'])
def test_a_time_is_read_from_a_body_too(body: str) -> None:
    desk = one("generic", 'event_time = { param = "ts" }')
    event = desk.take("/c/x", body.encode(), {"Content-Type": "application/json"}).event
    assert event["event_at"] == 1718000000000


@pytest.mark.parametrize(
    "body", ['{"ts":null}', '{"ts":[]}', '{"ts":{}}', '{"ts":1e400}', '{"ts":NaN}', "[]", "7"]
)
def test_what_is_no_time_in_a_body_is_none(body: str) -> None:
    desk = one("generic", 'event_time = { param = "ts" }')
    assert desk.take("/c/x", body.encode(), {"Content-Type": "application/json"}).event["event_at"] is None


@pytest.mark.parametrize(
    ("bounds", "age_ms", "flags"),
    [
        ("", 24 * HOUR, []),
        ("", 24 * HOUR + 1, ["stale"]),
        ("", -5 * 60_000, []),
        ("", -5 * 60_000 - 1, ["future"]),
        ('stale_after = "1h"', HOUR + 1, ["stale"]),
        ('stale_after = "0s"', 10**12, []),
        ('future_after = "0s"', -(10**12), []),
        ('future_after = "1s"', -1001, ["future"]),
    ],
)
def test_a_time_far_from_our_clock_is_flagged(bounds: str, age_ms: int, flags: list[str]) -> None:
    more = f", {bounds}" if bounds else ""
    desk = one("generic", f'event_time = {{ param = "ts", unit = "ms"{more} }}')
    event = desk.take(f"/c/x?ts={NOW_MS - age_ms}").event
    assert (event["event_at"], event["flags"]) == (NOW_MS - age_ms, flags)


# values that say nothing

TABLE = {
    "": "d41d8cd98f00b204e9800998ecf8427e",
    "0": "cfcd208495d565ef66e7dff9f98764da",
    "null": "37a6259cc0c1dae299a7866489dff0bd",
    "NULL": "6c3e226b4d4795d518ab341b0824ec29",
    "unknown": "ad921d60486366258809553a3db49a4a",
    "0" * 15: "5284047f4ffb4e04824a2fd1d1f0cd62",
    "00000000-0000-0000-0000-000000000000": "9f89c84a559f573636a47ff8daed0d33",
    "0" * 32: "cd9e459ea708a948d5c2f5a6ca8838cf",
    "02:00:00:00:00:00": "0f607264fc6318a92b9e13c65db7cd3c",
    "020000000000": "e3f5536a141811db40efd6400f1d0a4e",
    "__IMEI__": "d2158e2f658345d9cdbc6bdb0764d5b2",
    "__OAID__": "a261c265df3a6d24b5ad3cc1ddafd8e6",
    "__IDFA__": "6e0d8da38b72b0a55a28f0764389a1e7",
}


@pytest.mark.parametrize(("value", "digest"), TABLE.items())
def test_fillers_and_their_hashes_name_nobody(value: str, digest: str) -> None:
    assert hashlib.md5(value.encode()).hexdigest() == digest
    for said in (value, digest, digest.upper(), hashlib.sha1(value.encode()).hexdigest()):
        assert real(said) is None


@pytest.mark.parametrize("value", ["c7fdcbc18e37da49c717feeae3afeee9", "1", "00a", 7, ["x", "y"]])
def test_what_names_somebody_is_real(value: object) -> None:
    assert real(value) == (value[0] if isinstance(value, list) else str(value))


@pytest.mark.parametrize("value", [None, True, 1.5, [], [""], {}, "{imei}", "$im$", "[IMEI]"])
def test_what_is_no_text_or_a_macro_is_not(value: object) -> None:
    assert real(value) is None


@pytest.mark.parametrize("value", [
    " ", "\t\n", "\0", "\u00a0", "\u3000", "null", "NULL", "Null", "(null)", " (NULL) ", "<nil>",
    '"undefined"', "NONE", "None", "[object Object]", "{}", "[]", "()", '""', "--", "0", "0.0", "0.0.0.0",
    "-1", "\\N", "NaN", "not set", "(not set)", "00:00:00:00:00:00", "02:00:00:00:00:00", "0" * 128,
    hashlib.md5(b"(null)").hexdigest(), hashlib.sha256(b"").hexdigest().upper(),
])  # fmt: skip
def test_a_word_for_nothing_names_nobody_however_it_is_written(value: str) -> None:
    assert real(value) is None


@pytest.mark.parametrize("value", ["nulls", "none1", "x null", "(1)", "-12", "1.0", "0x1", "0" * 129, "no"])
def test_what_only_begins_like_one_is_real(value: str) -> None:
    assert real(value) == value


def test_no_hash_of_a_real_device_is_taken_for_nothing() -> None:
    assert len(NULL_LIKE) < 2000
    assert all(len(value) in {*range(65)} for value in NULL_LIKE)


# the Kafka key


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("oaid=Abc-1&imei=2", b"abc-1"),
        ("oaid=__OAID__&imei=2", b"2"),
        ("oaid=&imei=C7FDCBC18E37DA49C717FEEAE3AFEEE9", b"c7fdcbc18e37da49c717feeae3afeee9"),
        (f"oaid={'0' * 32}&imei=d41d8cd98f00b204e9800998ecf8427e", None),
        ("oaid=00000000-0000-0000-0000-000000000000", None),
        ("a=1", None),
        ("oaid=first&oaid=second", b"first"),
        ("oaid=%E4%BD%A0", "你".encode()),
    ],
)
def test_the_key_is_the_first_value_that_names_somebody(query: str, key: bytes | None) -> None:
    taken = one("generic", 'key = ["oaid", "imei"]').take(f"/c/x?{query}")
    assert taken.keys == (key,)


def test_each_element_of_an_array_has_its_own_key() -> None:
    fields = {"Content-Type": "application/json"}
    taken = one("generic", 'key = ["oaid"]').take("/c/x", b'[{"oaid":"a"},{"oaid":0},{"oaid":12}]', fields)
    assert taken.keys == (b"a", None, b"12")


def test_a_source_without_keys_carries_none() -> None:
    assert one("generic").take("/c/x?oaid=a").keys is None


# the dup key


@pytest.mark.parametrize(
    ("first", "other", "same"),
    [
        ("id=1a&n=1", "id=1a&n=2", True),
        ("id=1a", "id=2a", False),
        ("id=&alt=9", "id=null&alt=9", True),
        ("n=1&sign=a", "n=1&sign=b", True),
        ("n=1&sign=a", "n=2&sign=a", False),
        ("n=1&m=2", "m=2&n=1", False),
        ("pair=1&goal=2", "pair=1&goal=2&x=1", True),
        ("pair=1&goal=2", "pair=1&goal=3", False),
        ("pair=1", "pair=1&goal=", False),
    ],
)
def test_equal_dup_keys_are_repeats(first: str, other: str, same: bool) -> None:
    desk = one("generic", 'dedup = ["id", "alt", "pair+goal"]\nvolatile = ["sign"]')
    one_key, other_key = (desk.take(f"/c/x?{query}").event["dup_key"] for query in (first, other))
    assert (one_key == other_key) == same


def test_the_route_tells_events_without_a_click_id_apart() -> None:
    desk = one("generic")
    assert desk.take("/c/x/a?n=1").event["dup_key"] != desk.take("/c/x/b?n=1").event["dup_key"]


# the rate


def test_a_second_s_worth_is_taken_at_once_and_then_one_an_interval() -> None:
    limit, now = RateLimit(10), 1_718_000_000 * SECOND
    assert [limit.exceeded(now) for _ in range(12)] == [False] * 10 + [True] * 2
    assert not limit.exceeded(now + SECOND // 10)
    assert limit.exceeded(now + SECOND // 10)
    assert [limit.exceeded(now + 5 * SECOND) for _ in range(11)] == [False] * 10 + [True]


def test_a_rate_below_one_a_second_lets_one_through_each_time() -> None:
    limit, now = RateLimit(0.5), 1_718_000_000 * SECOND
    assert [limit.exceeded(now + second * SECOND) for second in range(5)] == [False, True, False, True, False]


def test_a_clock_set_back_does_not_close_the_source() -> None:
    limit, now = RateLimit(10), 1_718_000_000 * SECOND
    for _ in range(10):
        limit.exceeded(now)
    assert not limit.exceeded(now - 3600 * SECOND)
    assert [limit.exceeded(now - 3600 * SECOND) for _ in range(10)].count(False) == 9


def test_a_source_over_its_rate_gives_its_own_overload_reply() -> None:
    desk = one("generic", 'max_rate = 2\non_overload = { status = 429, body = "later", retry_after = 7 }')
    for _ in range(2):
        desk.take("/c/x?a=1")
    with pytest.raises(RequestRefusedError) as refused:
        desk.take("/c/x?a=1")
    reply = desk.sources[0].replies.refusals[refused.value.reason]
    assert refused.value.reason == "max_rate"
    assert reply.status == 429
    assert b"Retry-After: 7\r\n" in reply.keep
    assert reply.keep.endswith(b"later")
