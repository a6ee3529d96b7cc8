"""The requests `send` makes: each source's own example, at the present time, signed with its key."""

from __future__ import annotations

import json
import time
from importlib import resources
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from ingestd import config
from ingestd.cli.send_signature import Draft, sign
from ingestd.config.messages import nearest
from ingestd.config.secrets import Secret
from ingestd.config.source import SourceConfig
from ingestd.errors import ConfigError, IngestdError, Problem
from ingestd.sources.factory import read_keys
from ingestd.sources.signatures import value_of
from ingestd.sources.source import TEST_ROUTE

VALID = 3600  # seconds that a signature with an end is valid


class Example(NamedTuple):
    """One example callback: its query, raw, and a JSON body for those platforms that POST one, else empty."""

    query: str
    body: bytes = b""


def build(settings: config.Config, only: str | None, host: str) -> list[bytes]:
    """Requests of every configured source (or `only` one), with the examples of its profile in turn.

    `host`: the Host header. Raises IngestdError for an unknown source, ConfigError for a key that cannot be
    read.
    """
    known = {source.name: source for source in settings.source}
    if only is not None and only not in known:
        raise IngestdError(f"--source {only}: there is no such source; {nearest(only, known)}")
    chosen = settings.source if only is None else [known[only]]
    problems: list[Problem] = []
    keys = {source.name: read_keys(source, problems) for source in chosen}
    if problems:
        raise ConfigError("secrets", problems)
    base, now = settings.ingest.public_base, time.time()
    return [
        _bytes(request(source, example, keys[source.name], base, now), host)
        for source in chosen
        for example in examples(source.profile)
    ]


def examples(profile: str) -> list[Example]:
    """A profile's example; for a profile without one (`generic`, your own) those of many platforms."""
    text = resources.files("ingestd").joinpath("data/callbacks.json").read_text("utf-8")
    data = json.loads(text)
    callbacks: dict[str, str] = data["callbacks"]
    found = data["a request of each profile"].get(profile)
    if found is None:
        return [Example(urlsplit(url).query) for url in callbacks.values()]
    if isinstance(found, str):
        return [Example(urlsplit(callbacks.get(found, found)).query)]
    return [Example(urlsplit(found["url"]).query, json.dumps(found["json"], ensure_ascii=False).encode())]


def request(source: SourceConfig, example: Example, keys: list[Secret], base: str, now: float) -> Draft:
    """An example as a request to a source. `now`: seconds since the epoch, the time put into it."""
    method = "POST" if example.body or "GET" not in source.methods else "GET"
    headers = {"Content-Type": "application/json"} if example.body else {}
    signature = source.signature
    query, body = example.query.encode(), example.body
    for name in {source.event_time.param if source.event_time else "", signature.time_param} - {""}:
        query, body = _at(query, name, now), _body_at(body, name, now)
    if signature.expires_param:
        query = _at(query, signature.expires_param, now + VALID)
    draft = Draft(method, source.path, TEST_ROUTE, query, body, headers)
    return sign(draft, signature, keys[0].reveal(), signature.public_base or base) if keys else draft


def _at(query: bytes, name: str, moment: float) -> bytes:
    """A query with another time in a parameter, s or ms as before; unchanged if it has none there."""
    param = quote(name).encode() + b"="
    old = value_of(query, param)
    if old is None or not old.isdigit():
        return query
    new = _like(len(old), moment)
    return (b"&" + query).replace(b"&%s%s" % (param, old), b"&%s%d" % (param, new), 1)[1:]


def _body_at(body: bytes, name: str, moment: float) -> bytes:
    """The same for a number of a JSON object."""
    tree = json.loads(body) if body else {}
    if not isinstance(tree.get(name), int):
        return body
    tree[name] = _like(len(str(tree[name])), moment)
    return json.dumps(tree, ensure_ascii=False).encode()


def _like(digits: int, moment: float) -> int:
    """A time in ms, or in s if it had no more digits than those have."""
    return int(moment * 1000) if digits > 10 else int(moment)


def _bytes(draft: Draft, host: str) -> bytes:
    fields = {"Host": host, "User-Agent": "ingestd-send"} | draft.headers
    if draft.body or draft.method == "POST":
        fields["Content-Length"] = str(len(draft.body))
    lines = [draft.method.encode() + b" " + draft.target + b" HTTP/1.1"]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in fields.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n" + draft.body
