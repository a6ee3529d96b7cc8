"""The responses of a source: rendered when it is built, but for redirects and for echoes of a value."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from urllib.parse import quote

from ingestd.config.source import OverloadConfig, RedirectConfig, ReplyConfig
from ingestd.http.responses import REFUSAL_REPLIES, REFUSALS, Reply
from ingestd.sources.query import Params

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")  # 1x1, transparent
NO_STORE = (("Cache-Control", "no-store"),)
# Stricter than any URL parser, so that no browser can read another host in it.
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+)(?::\d{1,5})?(?:[/?#][^\\]*)?")
# `{name}` in a reply's body; braces of JSON, before a quotation mark or a brace, are not one.
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]{0,63})\}")
MAX_ECHO = 128
_SAFE_TO_ECHO = re.compile(rf"[A-Za-z0-9._:-]{{1,{MAX_ECHO}}}").fullmatch
_SAFE = "!#$%&'()*+,/:;=?@[]~"


def success(settings: ReplyConfig) -> Reply:
    """The response to an event that was stored: a pixel, or the configured status and body."""
    if settings.pixel:
        return Reply(settings.status, PIXEL, "image/gif", NO_STORE)
    return Reply(settings.status, settings.body.encode(), settings.content_type)


def refusals(overload: OverloadConfig) -> dict[str, Reply]:
    """The response for every reason; those with status 503 in the source's own overload form."""
    headers = (("Retry-After", str(overload.retry_after)),) if overload.retry_after else ()
    own = Reply(overload.status, overload.body.encode(), headers=headers)
    return {reason: own if REFUSALS[reason].status == 503 else REFUSAL_REPLIES[reason] for reason in REFUSALS}


def echo(settings: ReplyConfig) -> Echo | None:
    """The reply that repeats values of the request, or None if its body names none."""
    found = Echo(settings)
    return None if settings.pixel or not found.names else found


class Echo:
    """A reply whose body repeats values of the request, its `names`: `{event_id}:OK`, or a challenge.

    Only letters, digits and `._:-` are repeated, up to MAX_ECHO of them: they mean nothing in text, JSON or
    HTML. Any other value is left out.
    """

    __slots__ = ("_content_type", "_status", "_texts", "names")

    def __init__(self, settings: ReplyConfig) -> None:
        pieces = _PLACE.split(settings.body)
        self._texts = pieces[::2]
        self.names = pieces[1::2]
        self._status = settings.status
        self._content_type = settings.content_type

    def reply(self, values: Sequence[object]) -> Reply:
        """The reply to a request with these values of `names`; of several values the first."""
        body = self._texts[0]
        for value, text in zip(values, self._texts[1:], strict=True):
            first = value[0] if isinstance(value, list) and value else value
            safe = isinstance(first, str | int) and not isinstance(first, bool) and _SAFE_TO_ECHO(str(first))
            body += f"{first}{text}" if safe else text
        return Reply(self._status, body.encode(), self._content_type)


class Redirect:
    """Redirects a browser to the address in a parameter, on allowed hosts only."""

    __slots__ = ("_below", "_fallback", "_hosts", "_param", "_status")

    def __init__(self, settings: RedirectConfig, otherwise: Reply) -> None:
        self._param = settings.param
        self._hosts = frozenset(host for host in settings.hosts if not host.startswith("."))
        self._below = tuple(host for host in settings.hosts if host.startswith("."))
        self._status = settings.status
        self._fallback = self._to(settings.fallback) if settings.fallback else otherwise

    def reply(self, params: Params) -> Reply:
        """The redirect for an event's parameters; the fallback if the address is missing or not allowed."""
        address = params.get(self._param)
        if isinstance(address, list):
            address = address[0]
        return self._to(address) if address is not None and self.allows(address) else self._fallback

    def allows(self, address: str) -> bool:
        """Whether an address is http or https, on an allowed host."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            return False
        host = found[1].lower()
        return host in self._hosts or host.endswith(self._below)

    def _to(self, address: str) -> Reply:
        return Reply(self._status, headers=(("Location", quote(address, safe=_SAFE)), *NO_STORE))
