"""Requests whose signature is verified beside the loop, from the connection to the sink."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip(
    "cryptography", reason="the extra `signatures` is not installed: public keys are NOT tested"
)

from ingestd.http.connection import ServerState
from ingestd.http.parser import Limits
from ingestd.intake import Intake
from ingestd.sources.public_key import PublicKeyVerifier, Statement
from ingestd.sources.verification import MAX_OF_SOURCE, VerificationQueue
from tests.support.fakes import Received, assert_conserved
from tests.support.loop import turns
from tests.support.memory_daemon import MemoryDaemon, get, post
from tests.support.platforms.cases import EXAMPLES
from tests.support.waiting import FAR

GOOD: dict[str, Any] = EXAMPLES["apple_skan"][1]
FORGED = GOOD | {"app-id": 1}


class VerifyingDaemon(MemoryDaemon):
    """With the sources `skan` and `demo`. Signatures are only verified from `verify` on."""

    def __init__(self, **source: Any) -> None:
        skan = {"name": "skan", "path": "/p/skan", "profile": "apple_skan", **source}
        super().__init__(skan, {"name": "demo", "path": "/c/demo"})
        self.queue = VerificationQueue()
        self.intake = Intake(
            self.intake.router, self.counters, self.buffer, ack_stored=True, signatures=self.queue
        )
        self.state = ServerState(self.intake.take, Limits(), self.counters.refuse, 1000)
        self._verifying: asyncio.Task[None] | None = None

    def verify(self) -> None:
        self._verifying = asyncio.create_task(self.queue.run())

    async def __aexit__(self, *exc: object) -> None:
        if self._verifying is not None:
            assert not self._verifying.done(), self._verifying
            self._verifying.cancel()
        await super().__aexit__(*exc)

    async def post(self, body: object, replies: int = 1, times: int = 1) -> list[Received]:
        """What is answered to a body, posted `times` times on one connection."""
        transport, connection = self.connect()
        connection.data_received(post(b"/p/skan", json.dumps(body).encode(), b"application/json") * times)
        async with asyncio.timeout(FAR):
            while len(found := transport.replies()) < replies:
                await asyncio.sleep(0.001)
        return found


async def test_an_event_is_stored_once_its_signature_is_verified() -> None:
    async with VerifyingDaemon() as front:
        front.verify()
        [good] = await front.post(GOOD)
        [bad] = await front.post(FORGED)
        assert (good.status, bad.status) == (200, 200)
        assert [event["signature"] for event in front.events()] == ["ok", "bad"]
        assert front.counters.of("skan").signatures == {"ok": 1, "bad": 1}
        assert_conserved(front.counters)


async def test_others_do_not_wait_for_it() -> None:
    async with VerifyingDaemon() as front:
        transport, connection = front.connect()
        connection.data_received(post(b"/p/skan", json.dumps(GOOD).encode(), b"application/json"))
        [reply] = await front.ask(get(b"/c/demo?a=1"))
        assert reply.status == 200
        assert transport.written == b""
        assert front.counters.of("skan").received == 0, "it is nothing yet"
        front.verify()
        async with asyncio.timeout(FAR):
            while not transport.written:
                await asyncio.sleep(0.001)
        assert transport.statuses() == [200]


async def test_the_request_is_kept_while_the_parser_goes_on() -> None:
    """The parser fills one object again and again; each event is made of its own request all the same."""
    async with VerifyingDaemon() as front:
        transport, connection = front.connect()
        both = [GOOD | {"country-code": "FR"}, GOOD | {"country-code": "DE"}]
        for number, body in enumerate(both):
            target = b"/p/skan/r%d?n=%d" % (number, number)
            header = b"X-Real-IP: 192.0.2.%d" % number
            connection.data_received(post(target, json.dumps(body).encode(), b"application/json", header))
        connection.data_received(get(b"/c/demo?last=1", b"X-Real-IP: 192.0.2.9"))
        front.verify()
        async with asyncio.timeout(FAR):
            while len(transport.replies()) < 3:
                await asyncio.sleep(0.001)
        events = {str(event["route"]): event for event in front.events() if event["source"] == "skan"}
        assert sorted(events) == ["r0", "r1"]
        for number, body in enumerate(both):
            event = events[f"r{number}"]
            assert (event["body"], event["params"], event["client_ip"]) == (
                body, {"n": str(number)}, f"192.0.2.{number}",
            )  # fmt: skip


async def test_a_forged_one_is_rejected_where_that_is_asked_for() -> None:
    async with VerifyingDaemon(on_bad_signature="reject") as front:
        front.verify()
        [reply] = await front.post(FORGED)
        assert reply.status == 403
        [reply] = await front.post({"no": "signature"})
        assert reply.status == 403
        assert front.counters.of("skan").rejected == {"signature": 2}
        assert_conserved(front.counters)


async def test_what_shows_at_first_sight_is_not_verified() -> None:
    async with VerifyingDaemon() as front:
        [missing] = await front.post({"no": "signature"})
        [bad] = await front.post(GOOD | {"version": "9"})
        assert (missing.status, bad.status) == (200, 200)
        assert front.counters.of("skan").signatures == {"missing": 1, "bad": 1}


async def test_too_many_at_once_are_refused_in_the_source_s_own_words() -> None:
    async with VerifyingDaemon(on_overload={"status": 500, "body": "", "retry_after": 0}) as front:
        waiting, _ = front.connect()
        for _ in range(MAX_OF_SOURCE):
            _, connection = front.connect()
            connection.data_received(post(b"/p/skan", json.dumps(FORGED).encode(), b"application/json"))
        [refused] = await front.post(GOOD)
        assert (refused.status, refused.body) == (500, b"")
        assert front.counters.of("skan").rejected == {"verification": 1}
        [other] = await front.ask(get(b"/c/demo?a=1"))
        assert other.status == 200
        assert waiting.written == b""
        front.verify()
        async with asyncio.timeout(FAR):
            while front.counters.of("skan").stored < MAX_OF_SOURCE:
                await asyncio.sleep(0.001)
        assert_conserved(front.counters)


async def test_an_event_that_cannot_be_stored_any_more_is_refused() -> None:
    async with VerifyingDaemon() as front:
        transport, connection = front.connect()
        connection.data_received(post(b"/p/skan", json.dumps(GOOD).encode(), b"application/json"))
        front.buffer.refusing = "storage"
        front.verify()
        async with asyncio.timeout(FAR):
            while not transport.written:
                await asyncio.sleep(0.001)
        assert transport.statuses() == [503]
        assert front.counters.of("skan").rejected == {"storage": 1}
        assert_conserved(front.counters)


async def test_a_client_that_has_gone_does_not_take_its_event_with_it() -> None:
    async with VerifyingDaemon() as front:
        _, connection = front.connect()
        connection.data_received(post(b"/p/skan", json.dumps(GOOD).encode(), b"application/json"))
        connection.connection_lost(None)
        front.verify()
        async with asyncio.timeout(FAR):
            while not front.events():
                await asyncio.sleep(0.001)
        assert front.counters.of("skan").stored == 1


async def test_a_bug_in_a_verification_is_answered_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: PublicKeyVerifier, statement: Statement) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(PublicKeyVerifier, "_verify", broken)
    async with VerifyingDaemon() as front:
        front.verify()
        [reply] = await front.post(GOOD)
        assert (reply.status, reply.closes) == (500, True)
        assert "bug in request handling" in caplog.text
        assert front.counters.refused == {"internal": 1}
        await turns()
        assert_conserved(front.counters)
