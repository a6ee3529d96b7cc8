"""What is pasted is explained, and the running sources see nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from ingestd import config
from ingestd.admin.pasted import explain_pasted
from ingestd.config.sections import Config
from ingestd.errors import IngestdError
from ingestd.pipeline.counters import Counters
from ingestd.sources.factory import build, windows_of
from ingestd.sources.router import Router

SOURCES: list[dict[str, Any]] = [
    {"name": "ocean", "path": "/c/ocean", "profile": "ocean", "dedup_window": 20_000_000, "max_rate": 0.001},
    {"name": "hook", "path": "/p/hook"},
]


@pytest.fixture(scope="module")
def settings() -> Config:
    sources = [{**one} for one in SOURCES]
    del sources[0]["dedup_window"]  # the running one has memory of its own; here it would only cost
    tree = {"source": sources, "ingest": {"public_base": "https://click.example.com"}}
    made = config.parse(tree, str(Path(__file__)), {})
    ocean = made.source[0].model_copy(update={"dedup_window": SOURCES[0]["dedup_window"]})
    return made.model_copy(update={"source": (ocean, made.source[1])})


@pytest.fixture(scope="module")
def router(settings: Config) -> Router:
    ocean = settings.source[0].model_copy(update={"dedup_window": 100})
    running = settings.model_copy(update={"source": (ocean, *settings.source[1:])})
    return Router(build(running, COUNTERS, "host/1"))


COUNTERS = Counters()


@pytest.mark.parametrize(
    "text",
    [
        b"https://click.example.com/c/ocean/app?ts=1718000000123&imei=__IMEI__",
        b"  /c/ocean/app?ts=1718000000123&imei=__IMEI__\n",
        b"curl -v 'https://click.example.com/c/ocean/app?ts=1718000000123&imei=__IMEI__' -H 'a: b'",
        b'10.0.0.1 - - [x] "GET /c/ocean/app?ts=1718000000123&imei=__IMEI__ HTTP/1.1" 200 2',
        b"GET /c/ocean/app?ts=1718000000123&imei=__IMEI__ HTTP/1.1\nHost: x\n\n",
    ],
)
def test_a_url_in_whatever_it_was_pasted(settings: Config, router: Router, text: bytes) -> None:
    found = explain_pasted(text, settings, router)
    assert (found["found"]["source"], found["found"]["route"]) == ("ocean", "app")
    assert found["found"]["events"][0]["flags"][0] == "macro:imei"
    assert ("__IMEI__", "macro") in [piece[:2] for piece in found["pieces"]]


def test_nothing_is_counted_or_remembered(settings: Config, router: Router) -> None:
    before = orjson.dumps({name: one.summary() for name, one in COUNTERS.by_source.items()})
    for _ in range(3):
        found = explain_pasted(b"/c/ocean?ts=1&callback_param=x&imei=__IMEI__", settings, router)
        assert "duplicate" not in found["found"]["events"][0]["flags"], "nor is a rate exceeded"
    assert orjson.dumps({name: one.summary() for name, one in COUNTERS.by_source.items()}) == before
    assert windows_of(router.sources)["ocean"].size == 0


def test_a_body_for_a_source(settings: Config, router: Router) -> None:
    found = explain_pasted(b'{"id": 7, "token": "t0p-secret"}', settings, router, "hook")
    [event] = found["found"]["events"]
    assert event["event"]["body"] == {"id": 7, "token": "***"}
    assert b"t0p-secret" not in orjson.dumps(found, default=list)
    form = explain_pasted(b"a=1&b=2", settings, router, "hook")["found"]["events"][0]
    assert form["event"]["params"] == {"a": "1", "b": "2"}


def test_a_path_no_source_takes(settings: Config, router: Router) -> None:
    found = explain_pasted(b"/c/ocaen?a=1", settings, router)
    assert found["found"]["refused"] == "not_found"
    assert (found["mistakes"][0]["code"], found["mistakes"][0]["write"]) == ("path", "/c/ocean")


@pytest.mark.parametrize(
    ("text", "body_for"),
    [
        (b"", ""),
        (b" \n ", ""),
        (b"x", "nobody"),
        (b"/c/ocean?" + b"x" * 40_000, ""),
        (b"GET / HTTP/1.1\nTransfer-Encoding: chunked\n\nzz", ""),
    ],
)
def test_what_cannot_be_explained_says_why(
    settings: Config, router: Router, text: bytes, body_for: str
) -> None:
    with pytest.raises(IngestdError):
        explain_pasted(text, settings, router, body_for)
