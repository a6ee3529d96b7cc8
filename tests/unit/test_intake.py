"""A request from its connection to the sink and back: what is answered, what is counted, what is stored."""

from __future__ import annotations

import orjson
import pytest

from ingestd.sources.router import Router
from tests.support.fakes import assert_conserved, make_source
from tests.support.loop import turns
from tests.support.memory_daemon import MemoryDaemon, get, post


async def test_a_click_becomes_an_event_and_is_answered_when_it_is_stored() -> None:
    async with MemoryDaemon() as daemon:
        daemon.sink.gate.clear()
        transport, connection = daemon.connect()
        connection.data_received(get(b"/c/demo/app42?a=1&b=%E7%82%B9", b"X-Real-IP: 192.0.2.7"))
        await turns()
        assert transport.written == b""
        daemon.sink.gate.set()
        await turns()
        [reply] = transport.replies()
        assert (reply.status, reply.body) == (200, b"ok")
        [event] = daemon.events()
        assert (event["source"], event["route"], event["params"]) == (
            "demo",
            "app42",
            {"a": "1", "b": "点"},
        )
        assert (event["path"], event["client_ip"]) == ("/c/demo/app42", "192.0.2.7")


async def test_queued_a_click_is_answered_before_it_is_stored() -> None:
    async with MemoryDaemon(acks=False) as daemon:
        [reply] = await daemon.ask(get(b"/c/demo?a=1"))
        assert (reply.status, daemon.sink.batches) == (200, [])
        assert daemon.counters.of("demo").unstored == 1
        await daemon.clock.advance(1)
        assert len(daemon.events()) == 1


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (get(b"/nobody"), 404, "not_found"),
        (get(b"/"), 404, "not_found"),
        (get(b"*", method=b"OPTIONS"), 404, "not_found"),
        (get(b"/c/demo", method=b"DELETE"), 405, "method"),
        (get(b"/c/demo", method=b"OPTIONS"), 405, "method"),
        (get(b"/c/demo", method=b"BREW"), 405, "unknown_method"),
        (get(b"/c/de mo"), 400, "bad_request"),
    ],
)
async def test_what_is_no_event_of_any_source_is_counted_apart(data: bytes, status: int, reason: str) -> None:
    async with MemoryDaemon() as daemon:
        [reply] = await daemon.ask(data)
        assert reply.status == status
        assert daemon.counters.refused == {reason: 1}
        assert daemon.counters.of("demo").received == 0
        assert daemon.sink.batches == []


async def test_a_source_refuses_the_methods_it_does_not_take() -> None:
    async with MemoryDaemon({"name": "demo", "path": "/c/demo", "methods": ["POST"]}) as daemon:
        [reply] = await daemon.ask(get(b"/c/demo"))
        assert (reply.status, reply.headers["allow"]) == (405, "HEAD, POST")
        assert not reply.closes


async def test_a_head_request_is_answered_and_is_no_event() -> None:
    async with MemoryDaemon() as daemon:
        [reply] = await daemon.ask(get(b"/c/demo?a=1", method=b"HEAD"), heads=(0,))
        assert (reply.status, reply.headers["content-length"]) == (200, "2")
        assert (daemon.sink.batches, daemon.counters.of("demo").received) == ([], 0)


@pytest.mark.parametrize("target", [b"http://x.example/c/demo/r?a=1", b"HTTPS://x.example:443/c/demo/r?a=1"])
async def test_an_absolute_target_is_an_event_like_any_other(target: bytes) -> None:
    async with MemoryDaemon() as daemon:
        [reply] = await daemon.ask(get(target))
        assert reply.status == 200
        [event] = daemon.events()
        assert (event["path"], event["route"], event["params"]) == ("/c/demo/r", "r", {"a": "1"})


@pytest.mark.parametrize(
    "target",
    [
        b"http://x.example",
        b"http://x.example?a=1",
        b"ftp://x.example/c/demo",
        b"/a?u=http://b/c/demo",
        b"http://x.example?u=/c/demo",
    ],
)
async def test_an_absolute_target_of_nobody_is_nobodys(target: bytes) -> None:
    async with MemoryDaemon() as daemon:
        [reply] = await daemon.ask(get(target))
        assert reply.status == 404


# who the client is


@pytest.mark.parametrize(
    ("peer", "headers", "client_ip"),
    [
        ("", (b"X-Real-IP: 192.0.2.7",), "192.0.2.7"),
        ("", (b"x-real-ip: 192.0.2.7",), "192.0.2.7"),
        ("", (b"X-Forwarded-For: 192.0.2.9",), ""),
        ("", (), ""),
        (("203.0.113.5", 4711), (b"X-Real-IP: 192.0.2.7",), "203.0.113.5"),
        (("203.0.113.5", 4711), (), "203.0.113.5"),
    ],
)
async def test_the_clients_address_is_nginx_word_over_its_socket_and_nobodys_else(
    peer: object, headers: tuple[bytes, ...], client_ip: str
) -> None:
    async with MemoryDaemon() as daemon:
        await daemon.ask(get(b"/c/demo", b"Host: x", *headers), peer=peer)
        [event] = daemon.events()
        assert event["client_ip"] == client_ip


async def test_a_trailer_does_not_change_the_clients_address() -> None:
    async with MemoryDaemon() as daemon:
        head = get(b"/c/demo", b"X-Real-IP: 192.0.2.7", b"Transfer-Encoding: chunked", method=b"POST")
        await daemon.ask(head + b"1\r\na\r\n0\r\nX-Real-IP: 6.6.6.6\r\n\r\n")
        [event] = daemon.events()
        assert event["client_ip"] == "192.0.2.7"


# what the platform repeats


@pytest.mark.parametrize(("failing", "flags"), [("", ["duplicate"]), ("input/output error", [])])
async def test_a_repeat_after_a_stall_is_a_duplicate_if_the_stalled_event_was_stored(
    failing: str, flags: list[str]
) -> None:
    """What was stored decides, not what was answered."""
    source = {"name": "demo", "path": "/c/demo", "dedup": ["id"], "dedup_window": 10}
    async with MemoryDaemon(source, stall=2.5) as daemon:
        daemon.sink.gate.clear()
        transport, connection = daemon.connect()
        connection.data_received(get(b"/c/demo?id=abc"))
        await daemon.clock.advance(3)
        assert transport.statuses() == [503]
        daemon.sink.failing = failing
        daemon.sink.gate.set()
        await turns(20)
        daemon.sink.failing = ""
        await daemon.clock.advance(1)
        [reply] = await daemon.ask(get(b"/c/demo?id=abc"))
        assert reply.status == 200
        assert daemon.events()[-1]["flags"] == flags
        assert len(daemon.events()) == (1 if failing else 2)


# refused by what holds now


async def test_overload_is_answered_in_the_sources_own_form() -> None:
    own = {"status": 429, "body": "later", "retry_after": 7}
    source = {"name": "demo", "path": "/c/demo", "on_overload": own}
    async with MemoryDaemon(source, acks=False, buffer_bytes=1000, max_bytes=10**6) as daemon:
        daemon.sink.gate.clear()
        statuses = [(await daemon.ask(get(b"/c/demo?a=1")))[0].status for _ in range(10)]
        assert statuses.index(429) > 0
        assert statuses == sorted(statuses)
        [reply] = await daemon.ask(get(b"/c/demo"))
        assert (reply.status, reply.body, reply.headers["retry-after"]) == (429, b"later", "7")
        demo = daemon.counters.of("demo")
        assert demo.rejected["overload"] == statuses.count(429) + 1
        assert_conserved(daemon.counters)


async def test_trouble_with_storage_is_answered_in_the_sources_own_form() -> None:
    async with MemoryDaemon() as daemon:
        daemon.sink.failing = "no space left"
        first, second = [(await daemon.ask(get(b"/c/demo?a=1")))[0] for _ in range(2)]
        for reply in (first, second):
            assert (reply.status, reply.body, reply.headers["retry-after"]) == (503, b"busy", "1")
            assert not reply.closes  # the connection to nginx is as good as before
        assert daemon.counters.of("demo").rejected == {"storage": 2}
        assert_conserved(daemon.counters)


async def test_a_body_that_is_no_event_is_counted_to_its_source() -> None:
    async with MemoryDaemon() as daemon:
        body = post(b"/c/demo", b"not gzip", b"application/json", b"Content-Encoding: gzip")
        [reply] = await daemon.ask(body)
        assert (reply.status, reply.closes) == (400, False)
        assert daemon.counters.of("demo").rejected == {"bad_encoding": 1}
        assert_conserved(daemon.counters)


async def test_a_bug_in_a_source_loses_no_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with MemoryDaemon() as daemon:
        monkeypatch.setattr(orjson, "loads", lambda _: 1 // 0)
        [reply] = await daemon.ask(post(b"/c/demo", b"{}", b"application/json"))
        assert (reply.status, reply.closes) == (500, True)
        assert daemon.counters.refused == {"internal": 1}
        assert_conserved(daemon.counters)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("acks", [True, False], ids=["stored", "queued"])
async def test_an_event_that_has_a_reply_of_its_own_is_answered_with_it(acks: bool) -> None:
    redirect = {"redirect": {"param": "u", "hosts": ["shop.example"]}}
    async with MemoryDaemon({"name": "demo", "path": "/c/demo", "reply": redirect}, acks=acks) as daemon:
        [reply] = await daemon.ask(get(b"/c/demo?u=https%3A%2F%2Fshop.example%2F"))
        assert (reply.status, reply.headers["location"]) == (302, "https://shop.example/")


async def test_an_array_is_several_events_and_one_reply() -> None:
    async with MemoryDaemon() as daemon:
        [reply] = await daemon.ask(post(b"/c/demo", b'[{"a":1},{"a":2},3]', b"application/json"))
        assert reply.status == 200
        assert [event["body"] for event in daemon.events()] == [{"a": 1}, {"a": 2}, 3]
        source = daemon.counters.of("demo")
        assert (source.received, source.stored) == (3, 3)


async def test_a_client_gone_before_its_reply_loses_no_event() -> None:
    async with MemoryDaemon() as daemon:
        daemon.sink.gate.clear()
        transport, connection = daemon.connect()
        connection.data_received(get(b"/c/demo?a=1") * 3)
        connection.connection_lost(ConnectionResetError())
        daemon.sink.gate.set()
        await turns(20)
        assert len(daemon.events()) == 3
        assert transport.written == b""
        assert_conserved(daemon.counters)


async def test_new_sources_are_taken_without_a_stop() -> None:
    async with MemoryDaemon() as daemon:
        assert (await daemon.ask(get(b"/c/new")))[0].status == 404
        made = [make_source(daemon.counters, name="demo", path="/c/new")]
        daemon.intake.router = Router(made)
        assert (await daemon.ask(get(b"/c/new")))[0].status == 200
        assert (await daemon.ask(get(b"/c/demo")))[0].status == 404
        assert daemon.counters.of("demo").stored == 1  # the counters are the name's


@pytest.mark.parametrize("length", [1, 128, 129])
async def test_a_trace_travels_with_the_event_unless_it_is_too_long_for_one(length: int) -> None:
    async with MemoryDaemon() as daemon:
        daemon.sink.gate.clear()
        _, connection = daemon.connect()
        connection.data_received(get(b"/c/demo?a=1", b"traceparent: " + b"t" * length))
        await turns()
        trace = connection.due[0].trace
        assert trace == (b"t" * length if length <= 128 else None)
        daemon.sink.gate.set()
