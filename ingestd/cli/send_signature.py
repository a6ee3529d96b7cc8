"""Signs a request as its platform would: the other side of `sources.signatures`."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from ingestd.config.source import BY_HEADER, SignatureConfig
from ingestd.sources.signatures import decoded, value_of


@dataclass(frozen=True, slots=True)
class Draft:
    """A request to a source. `route`: what follows the source's path. `query`: raw."""

    method: str
    source_path: str
    route: str
    query: bytes = b""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path: the source's, then the route."""
        return f"{self.source_path}/{self.route}"

    @property
    def target(self) -> bytes:
        """The path, and the query if there is one."""
        return self.path.encode() + (b"?" + self.query if self.query else b"")


def sign(draft: Draft, settings: SignatureConfig, key: bytes, base: str) -> Draft:
    """The request with its signature or token. `base`: the public scheme and host, part of what is signed."""
    if settings.kind == "token":
        return _with_token(draft, settings, key)
    if settings.kind in BY_HEADER:
        text = settings.prefix + _digest(settings, key, draft.body)
        return replace(draft, headers=draft.headers | {settings.header: text})
    bare = _without(draft, settings.param)
    if settings.kind == "md5_concat":
        values = (value_of(bare.query, f"{name}=".encode()) for name in settings.params)
        content = b"".join(decoded(value or b"") for value in values)
    else:
        content = (b"" if settings.covers == "target" else base.encode()) + bare.target
    return _with(bare, settings.param, quote(_digest(settings, key, content), safe=""))


def _with_token(draft: Draft, settings: SignatureConfig, key: bytes) -> Draft:
    if settings.place == "header":
        text = settings.prefix + key.decode("latin-1")
        return replace(draft, headers=draft.headers | {settings.header: text})
    token = quote(key, safe="")
    if settings.place == "path":
        return replace(draft, route=f"{token}/{draft.route}")
    return _with(_without(draft, settings.param), settings.param, token)


def _without(draft: Draft, param: str) -> Draft:
    name = param.encode()
    kept = [pair for pair in draft.query.split(b"&") if pair and pair.partition(b"=")[0] != name]
    return replace(draft, query=b"&".join(kept))


def _with(draft: Draft, param: str, value: str) -> Draft:
    pair = f"{param}={value}".encode()
    return replace(draft, query=draft.query + b"&" + pair if draft.query else pair)


def _digest(settings: SignatureConfig, key: bytes, content: bytes) -> str:
    if settings.kind.startswith("md5"):
        made = hashlib.md5(content + key, usedforsecurity=False).digest()
    else:
        made = hmac.digest(key, content, settings.kind.split("_")[1])
    return made.hex() if settings.encoding == "hex" else base64.b64encode(made).decode()
