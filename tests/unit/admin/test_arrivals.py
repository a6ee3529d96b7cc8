"""A click held up to what its source expects."""

from __future__ import annotations

from typing import Any

import orjson

from ingestd.admin import arrivals
from ingestd.admin.arrivals import Arrivals
from ingestd.config.source import SourceConfig
from tests.support.fakes import headers, make_source, request_for, taken


def source(**keys: Any) -> SourceConfig:
    return make_source(**{"name": "demo", "path": "/c/demo", **keys}).config


def judged(query: bytes, **keys: Any) -> dict[str, Any]:
    made = make_source(**{"name": "demo", "path": "/c/demo", **keys})
    return Arrivals(made.config).judged(orjson.loads(taken(made, request_for(query)).data))


def states(found: dict[str, Any]) -> dict[str, str]:
    return {field["name"]: field["state"] for field in found["fields"]}


def test_an_ocean_click_field_by_field() -> None:
    found = judged(b"ts=1718000000123&callback_param=s3cret&imei=__IMEI__&oaid=&os=1&mine=7", profile="ocean")
    state = states(found)
    assert {name: state[name] for name in ("ts", "callback_param", "imei", "oaid", "os", "mine", "idfa")} == {
        "ts": "ok", "callback_param": "ok", "imei": "macro", "oaid": "empty", "os": "ok", "mine": "extra",
        "idfa": "missing",
    }  # fmt: skip
    assert found["lacking"] == []
    assert found["good"]


def test_credentials_are_masked_wherever_they_stand() -> None:
    found = judged(b"ts=1&callback_param=s3cret&sign=abcdef", profile="ocean", keep_raw="always")
    assert b"s3cret" not in orjson.dumps(found)
    assert b"abcdef" not in orjson.dumps(found)
    [field] = [field for field in found["fields"] if field["name"] == "callback_param"]
    assert (field["value"], field["state"], field["needed"]) == ("***", "ok", True)


def test_what_is_needed_and_did_not_come_is_named() -> None:
    found = judged(b"ts=__TS__&callback_param=", profile="ocean")
    assert (found["lacking"], found["good"]) == (["callback_param", "ts"], False)


def test_a_filler_that_came_for_the_click_id_is_lacking() -> None:
    found = judged(b"click_id=0&click_time=1718000001&callback=x", profile="tencent")
    assert found["lacking"] == ["click_id"]


def test_a_parameter_that_privacy_drops_is_not_called_missing() -> None:
    found = judged(b"ts=1718000000&imei=1234567", link={"ts": "__TS__", "imei": "__IMEI__"},
                   privacy={"imei": "drop"}, event_time={"param": "ts"})  # fmt: skip
    assert states(found) == {"ts": "ok", "imei": "ok"}


def test_a_body_s_keys_are_fields_too() -> None:
    made = make_source(name="demo", path="/c/demo", dedup=["id"])
    request = request_for(b"", headers(Content_Type="application/json"), b'{"id":"7","n":3}')
    found = Arrivals(made.config).judged(orjson.loads(taken(made, request).data))
    assert states(found) == {"id": "extra", "n": "extra"}, "of such a source nothing is known"
    assert [field["roles"] for field in found["fields"]] == [["click_id"], []]


def test_a_bad_signature_is_not_good() -> None:
    event = {"params": {"a": "1"}, "flags": [], "signature": "bad", "source": "demo"}
    assert not Arrivals(source()).judged(event)["good"]


def test_the_expected_fields_have_their_parts() -> None:
    fields = {field["name"]: field for field in arrivals.expected(source(profile="ocean", key=["oaid"]))}
    assert fields["ts"]["roles"] == ["event_time"]
    assert fields["callback_param"]["roles"] == ["click_id", "credential"]
    assert fields["oaid"]["roles"] == ["kafka_key"]
    assert list(fields)[:4] == ["callback_param", "ts", "advertiser_id", "project_id"]
    assert fields["advertiser_id"]["macro"] == "__ADVERTISER_ID__"


def test_a_source_about_which_nothing_is_known_expects_nothing() -> None:
    assert arrivals.expected(source()) == []
    assert judged(b"a=1&b=2")["good"]
