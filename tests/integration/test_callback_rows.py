"""What platforms send, through the shipped nginx: the reply, the event, the flags."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest

pytest.importorskip(
    "cryptography", reason="the extra `signatures` is not installed: public keys are NOT tested"
)

from ingestd import config
from ingestd.sources.verification import MAX_OF_SOURCE
from tests.support import callback_rows
from tests.support.daemon import Daemon
from tests.support.front import Front
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.place import open_place
from tests.support.platforms.cases import EXAMPLES
from tests.support.wire import Wire, request

GROUPS = ("platforms", "public keys", "macros", "fillers", "states", "echoes")


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    need_nginx()
    with open_place() as place:
        sources = callback_rows.sources(place)
        with (
            Daemon(place, sources=sources, ingest=callback_rows.INGEST) as daemon,
            Nginx(place, [daemon.socket]) as nginx,
        ):
            yield Front(daemon, nginx)


@pytest.mark.parametrize("group", GROUPS)
def test_each_callback_becomes_what_it_must(front: Front, group: str) -> None:
    rows = [row for row in callback_rows.rows(config.load(front.daemon.config, {})) if row.group == group]
    seen: dict[tuple[str, str], str] = {}
    wrong = {row.what: found for row in rows if (found := callback_rows.judge(front, row, seen)[2])}
    assert wrong == {}
    assert len(rows) > 5


def test_a_flood_of_forged_signatures_delays_nobody_else(front: Front) -> None:
    """More at once than may wait for a public key: each is answered, and others are answered meanwhile."""
    before, flood = front.daemon.metrics(), 4 * MAX_OF_SOURCE
    forged = callback_rows.post("/p/strict", EXAMPLES["apple_skan"][1] | {"app-id": 1})
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(front.daemon.socket)) for _ in range(flood)]
        good = stack.enter_context(Wire(front.daemon.socket))
        for number, wire in enumerate(wires):
            wire.send(forged)
            if number % 32 == 0:
                good.send(request(f"/c/any?click_id=g{number}"))
                assert good.receive().status == 200
        answers = Counter(wire.receive().status for wire in wires)
    after = front.daemon.metrics()
    assert set(answers) <= {403, 503}
    assert answers[403] > 0
    for reason, status in (("signature", 403), ("verification", 503)):
        name = f'events_rejected_total{{reason="{reason}",source="strict"}}'
        assert after.get(name, 0) - before.get(name, 0) == answers[status]
    stored = 'events_stored_total{source="any"}'
    assert after[stored] - before.get(stored, 0) == flood / 32
    assert after.get('source_unstored_events{source="strict"}', 0) == 0
    front.fresh()


def test_no_group_is_left_out(front: Front) -> None:
    assert {row.group for row in callback_rows.rows(config.load(front.daemon.config, {}))} == set(GROUPS)
