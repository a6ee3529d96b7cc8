"""Replies as they go over the wire, and the table of refusals."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from ingestd.http.responses import ALLOW, REFUSAL_REPLIES, REFUSALS, Reply, method_refusal
from tests.support.fakes import read_replies

FORMS = [(head, keep) for head in (False, True) for keep in (False, True)]


@pytest.mark.parametrize(("head", "keep"), FORMS)
def test_a_reply_says_its_length_and_whether_the_connection_closes(head: bool, keep: bool) -> None:
    reply = Reply(200, "点击".encode(), "application/json", headers=(("X-A", "b"),))
    [received] = read_replies(reply.form(head=head, keep_alive=keep), heads=[0] if head else [])
    assert received.headers["content-length"] == "6"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["x-a"] == "b"
    assert received.closes is not keep
    assert received.body == (b"" if head else "点击".encode())


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize(("head", "keep"), FORMS)
def test_a_status_without_a_body_never_has_one(status: int, head: bool, keep: bool) -> None:
    # The client would take it for the beginning of the next reply.
    data = Reply(status, b"ok").form(head=head, keep_alive=keep)
    assert data.endswith(b"\r\n\r\n")
    assert b"ok" not in data
    assert b"content-" not in data.lower()


def test_an_empty_body_has_a_length_and_no_type() -> None:
    [received] = read_replies(Reply(200).keep)
    assert received.headers == {"content-length": "0"}


def test_a_status_nobody_registered_has_a_phrase_all_the_same() -> None:
    assert Reply(299, b"").keep.startswith(b"HTTP/1.1 299 ")


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_refusal_has_its_own_status_and_words(reason: str) -> None:
    refusal = REFUSALS[reason]
    [received] = read_replies(REFUSAL_REPLIES[reason].keep)
    assert received.status == refusal.status == HTTPStatus(refusal.status)
    assert received.body.decode() == refusal.text + "\n"
    assert refusal.status >= 400


@pytest.mark.parametrize("reason", [name for name, refusal in REFUSALS.items() if refusal.status == 503])
def test_who_is_refused_for_now_is_told_when_to_come_again(reason: str) -> None:
    [received] = read_replies(REFUSAL_REPLIES[reason].keep)
    assert int(received.headers["retry-after"]) >= 1


@pytest.mark.parametrize("reason", [name for name, refusal in REFUSALS.items() if refusal.status == 405])
def test_who_uses_another_method_is_told_which_to_use(reason: str) -> None:
    [received] = read_replies(REFUSAL_REPLIES[reason].keep)
    assert received.headers["allow"] == ALLOW


@pytest.mark.parametrize(
    ("methods", "allow"), [(("GET",), "GET, HEAD"), (("POST",), "HEAD, POST"), (("POST", "GET"), ALLOW)]
)
def test_a_source_names_the_methods_it_takes(methods: tuple[str, ...], allow: str) -> None:
    [received] = read_replies(method_refusal(methods).keep)
    assert (received.status, received.headers["allow"]) == (405, allow)
    assert method_refusal(methods) is method_refusal(methods)  # made once


def test_only_a_reason_of_ours_is_a_5xx() -> None:
    # Some platforms stop sending to an endpoint that answers 5xx: bad input must never be one.
    ours = {reason for reason, refusal in REFUSALS.items() if refusal.status >= 500}
    assert ours == {
        "internal",
        "connections",
        "overload",
        "storage",
        "stalled",
        "clock",
        "max_rate",
        "verification",
        "version",
    }
