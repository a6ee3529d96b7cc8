"""The requests `ingestd send` makes, judged by the sources that verify them; and where they may go."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from ingestd import config
from ingestd.cli import main
from ingestd.cli.send_requests import build
from ingestd.cli.send_target import parse
from ingestd.config import profiles
from ingestd.errors import IngestdError
from ingestd.http import captured_request
from ingestd.http.parser import Limits
from ingestd.pipeline.counters import Counters
from ingestd.sources import factory
from ingestd.sources.router import Router
from ingestd.sources.source import TEST_ROUTE
from tests.support.fakes import taken

BASE = "https://click.example.com"


def events(sources: str, place: Path, only: str | None = None) -> list[dict[str, Any]]:
    """The events that the requests made for these sources become."""
    (place / "key").write_text("a secret+/=\nan older one\n")
    tree = tomllib.loads(f'[ingest]\npublic_base = "{BASE}"\n{sources}')
    settings = config.parse(tree, str(place / "c.toml"), {})
    router = Router(factory.build(settings, Counters(), "test/0"))
    found = []
    for data in build(settings, only, "click.example.com"):
        request = captured_request.parse(data, Limits(1 << 15, 1 << 15, 1 << 20))
        request.received_ns = time.time_ns()
        source = router.route(request)
        assert source is not None
        assert request.method in source.methods
        found += [orjson.loads(line) for line in taken(source, request).data.splitlines()]
    return found


def source(name: str, more: str = "") -> str:
    return f'[[source]]\nname = "{name}"\npath = "/c/{name}"\n{more}\n'


@pytest.mark.parametrize("profile", profiles.Profiles().names)
def test_a_source_gets_its_platforms_own_example_marked_by_its_route(tmp_path: Path, profile: str) -> None:
    """At the present time, so that it is not flagged as stale."""
    found = events(source(profile.replace("_", "-"), f'profile = "{profile}"'), tmp_path)
    assert {event["route"] for event in found} == {TEST_ROUTE}
    assert all("test" in event["flags"] for event in found)
    assert len(found) == 1 or profile == "generic"
    assert not {"stale", "future"} & {flag for event in found for flag in event["flags"]}


SIGNATURES = [
    'kind = "md5_url_key"',
    'kind = "md5_url_key", last = false, param = "s"',
    'kind = "hmac_sha256_url"',
    'kind = "hmac_sha256_url", covers = "target", encoding = "base64", param = "sig"',
    'kind = "hmac_sha256_url", time_param = "ts", max_age = "1h"',
    'kind = "hmac_sha256_url", expires_param = "ts"',
    'kind = "md5_concat", params = ["ts", "ip", "nothing"]',
    'kind = "hmac_sha256_body", header = "X-Signature", prefix = "sha256="',
    'kind = "token"',
    'kind = "token", place = "path"',
    'kind = "token", place = "header", header = "Authorization", prefix = "Bearer "',
]


@pytest.mark.parametrize(
    ("profile", "signature"),
    [
        (profile, signature)
        for profile in ("ocean", "vivo", "generic")
        for signature in SIGNATURES
        if profile == "ocean" or ('"ts", max_age' not in signature and "expires_param" not in signature)
    ],
)
def test_a_source_that_verifies_gets_a_signature_that_is_right(
    tmp_path: Path, profile: str, signature: str
) -> None:
    more = f'profile = "{profile}"\nsignature = {{ {signature}, key_file = "key" }}'
    for event in events(source("signed", more), tmp_path):
        assert event["signature"] == "ok"
        assert event["route"] == TEST_ROUTE


@pytest.mark.parametrize("profile", ["baidu", "xiaomi", "postback"])
def test_a_profile_that_signs_is_signed_with_the_key_that_is_configured(tmp_path: Path, profile: str) -> None:
    (event,) = events(source("a", f'profile = "{profile}"\nsignature.key_file = "key"'), tmp_path)
    assert event["signature"] == "ok"


def test_one_source_of_several_can_be_sent_to(tmp_path: Path) -> None:
    both = source("ocean", 'profile = "ocean"') + source("posts", 'methods = ["POST"]')
    assert {event["source"] for event in events(both, tmp_path)} == {"ocean", "posts"}
    assert {event["source"] for event in events(both, tmp_path, "posts")} == {"posts"}
    with pytest.raises(IngestdError, match="there is no such source; did you mean 'ocean'"):
        events(both, tmp_path, "ocaen")


@pytest.mark.parametrize(
    ("text", "host", "port", "tls"),
    [
        ("tcp:127.0.0.1:8080", "127.0.0.1", 8080, False),
        ("tcp:[::1]:8080", "::1", 8080, False),
        ("http://127.0.0.1", "127.0.0.1", 80, False),
        ("http://click.example.com:8080/", "click.example.com", 8080, False),
        ("https://click.example.com", "click.example.com", 443, True),
        ("https://[2001:db8::1]:8443", "2001:db8::1", 8443, True),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int, tls: bool) -> None:
    assert parse(text)[1:] == ("", host, port, tls)
    assert parse("unix:/run/ingestd/ingestd.sock").path == "/run/ingestd/ingestd.sock"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8080", "a port alone is not a host; write tcp:127.0.0.1:8080"),
        (":8080", "a port alone is not a host; write tcp:127.0.0.1:8080"),
        ("tcp:8080", "a port alone is not a host"),
        ("http://:80", "a port alone is not a host"),
        ("https://443/", "a port alone is not a host"),
        ("tcp:127.0.0.1", "is not an address; write unix:PATH, tcp:HOST:PORT, http://HOST"),
        ("click.example.com", "is not an address"),
        ("unix:", "is not an address"),
        ("ftp://click.example.com", "is not an address"),
        ("https://user@click.example.com", "is not an address"),
        (
            "http://click.example.com/c/ocean",
            "the path is that of each source; write the scheme",
        ),
        ("tcp:127.0.0.1:99999", "99999 is not a port; write 1 to 65535"),
        ("http://127.0.0.1:0", "0 is not a port"),
    ],
)
def test_a_wrong_address_is_refused_with_what_to_write(text: str, hint: str) -> None:
    """Before anything is sent: status 2, as every wrong option."""
    done = CliRunner().invoke(main, ["send", "-c", "conf/quickstart.toml", "--to", text])
    assert done.exit_code == 2
    assert hint in " ".join(done.output.split())
