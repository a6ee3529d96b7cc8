"""Connections by the limit of open files: the rest of the daemon keeps its share."""

from __future__ import annotations

import logging
import resource

import pytest

from ingestd.http import fd_limit
from ingestd.http.fd_limit import RESERVED

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "then"),
    [
        (65536, 65536, 20000, 65536),
        (INFINITE, INFINITE, 20000, INFINITE),
        (1024, 65536, 20000, 20000 + RESERVED),
        (1024, INFINITE, 20000, 20000 + RESERVED),
        (1024, 1024, 500, 500 + RESERVED),
    ],
)
def test_where_there_is_room_all_connections_are_taken(
    soft: int, hard: int, connections: int, then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: limits.append(pair))
    assert fd_limit.room(connections) == connections
    assert limits[-1][0] in (then, soft)
    assert limits[-1][0] == INFINITE or limits[-1][0] >= connections + RESERVED


@pytest.mark.parametrize(("hard", "fewer"), [(4096, 4096 - RESERVED), (1024, 768), (64, 16)])
def test_where_there_is_none_fewer_are_taken_and_it_is_said(
    hard: int, fewer: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: None)
    with caplog.at_level(logging.WARNING):
        assert fd_limit.room(20000) == fewer
    [record] = caplog.records
    assert (vars(record)["open_files"], vars(record)["connections"]) == (hard, fewer)
