"""A configured source at work: one request in, the event's final bytes out.

This is the hot path. What a source's configuration does not ask for costs one look at an attribute that
is None. A line is put together from its parts, of which only the parameters go through an encoder, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
from xxhash import xxh3_128_hexdigest

from ingestd.config.source import SourceConfig
from ingestd.errors import RequestRefusedError
from ingestd.http.request import Exchange, Request
from ingestd.http.responses import Replies
from ingestd.pipeline.counters import SourceCounters
from ingestd.sources import body as bodies
from ingestd.sources import encoder, macros, null_values, query, responses
from ingestd.sources.dedup_window import DuplicateWindow
from ingestd.sources.event_time import EventClock
from ingestd.sources.privacy import Privacy
from ingestd.sources.query import Params, scan
from ingestd.sources.rate_limit import RateLimit
from ingestd.sources.signatures import Token, Verifier

dumps = orjson.dumps
# The traceparent of W3C Trace Context has 55 bytes; a later version of it may have some more.
MAX_TRACE = 128


class LineDraft:
    """A request's events in the making: what their lines have in common, and what making them leaves behind.

    `middle`: from `source` to `user_agent`, as JSON. `keys`: each line's Kafka key. `remembered`: what the
    window of repeats took in, see DuplicateWindow.forget.
    """

    __slots__ = ("keys", "middle", "params", "received_at", "remembered", "signature")

    def __init__(self, params: Params, middle: bytes, signature: str, received_at: int) -> None:
        self.params = params
        self.middle = middle
        self.signature = signature
        self.received_at = received_at
        self.keys: list[bytes | None] = []
        self.remembered: list[tuple[int, bytes]] = []


class Source:
    """One source: its configuration made ready, its counters, its replies."""

    __slots__ = (
        "_asked_for", "_body_limit", "_changing", "_clock", "_dedup", "_frames", "_keep_lossy", "_keep_raw",
        "_key", "_maker", "_own_answer", "_prefix", "_privacy", "_rate", "_redirect", "_rejects",
        "_sets_aside", "_tails", "_token", "_wanted", "config", "counters", "methods", "name", "replies",
        "verifier", "window",
    )  # fmt: skip

    def __init__(
        self, settings: SourceConfig, counters: SourceCounters, node: str, inflated_limit: int,
        verifier: Verifier | None = None, privacy: Privacy | None = None,
        window: DuplicateWindow | None = None,
    ) -> None:  # fmt: skip
        self.config = settings
        self.counters = counters
        self.name = settings.name
        self.methods = frozenset(method.encode() for method in settings.methods)
        # what is answered
        stored = responses.success(settings.reply)
        self.replies = Replies(stored, responses.refusals(settings.on_overload))
        redirect = settings.reply.redirect
        self._redirect = responses.Redirect(redirect, stored) if redirect else None
        # what is taken
        self.verifier = verifier
        self._token = verifier if isinstance(verifier, Token) else None
        self._rejects = settings.on_bad_signature == "reject"
        self._sets_aside = settings.on_bad_signature == "dead_letter"
        self._rate = RateLimit(settings.max_rate) if settings.max_rate else None
        self._privacy = privacy
        self._body_limit = inflated_limit
        # what it means
        self._clock = EventClock(settings.event_time) if settings.event_time else None
        self._dedup = tuple(tuple(names.split("+")) for names in settings.dedup)
        self._changing = tuple(name.encode() + b"=" for name in settings.volatile)
        self._prefix = f"{settings.name}\0{settings.type}\0".encode()
        self.window = window
        self._key = settings.key
        # the parameters that mean something: of a clean query only these are decoded into text
        names = [*settings.key, *(name for group in self._dedup for name in group)]
        names += [self._clock.param] if self._clock else []
        names += [redirect.param] if redirect else []
        self._asked_for = tuple(dict.fromkeys(names))
        self._wanted = tuple(name.encode() for name in self._asked_for)
        self._own_answer = bool(settings.key or settings.dedup_window or redirect or self._sets_aside)
        # what is written
        self._keep_raw = settings.keep_raw == "always" or (
            settings.keep_raw == "odd" and settings.signature.covers_query
        )
        self._keep_lossy = settings.keep_raw != "never"
        self._frames = encoder.Frames(settings.name, settings.type)
        self._tails = encoder.Tails(node)
        plain = not self._own_answer and privacy is None and self._token is None
        self._maker = encoder.maker(settings, node, self._prefix, keep_raw=self._keep_raw) if plain else None

    def take(self, request: Request, exchange: Exchange) -> None:
        """Make events of a routed request, and with them an entry of its exchange.

        Raises RequestRefusedError where there is no event to be had: the body does not decompress or holds
        too many events, the source rejects the signature, or `max_rate` is exceeded.
        """
        flags: list[str] = []
        signature = "none"
        if self.verifier is not None:
            signature = self._judged(self.verifier.check(request), flags)
        if self._rate is not None and self._rate.exceeded(request.received_ns):
            raise RequestRefusedError("max_rate")
        if self._token is not None:
            self._token.hide(request)
        exchange.counters = self.counters
        exchange.replies = self.replies
        exchange.keys = exchange.dead_letter = None
        trace = request.headers.get(b"traceparent")
        exchange.trace = trace if trace is not None and len(trace) <= MAX_TRACE else None
        request.forwarded = request.header(b"X-Forwarded-For")
        request.agent = request.header(b"User-Agent")
        if self._maker is not None and not request.body and not flags:
            line = self._maker.line(
                request.method, request.path, request.route, request.query, request.client_ip,
                request.forwarded, request.agent, request.received_ns, signature, self.counters.macro,
            )  # fmt: skip
            if line is not None:
                exchange.data = line
                exchange.count = 1
                return
        self._take_slowly(request, exchange, signature, flags)

    def _take_slowly(self, request: Request, exchange: Exchange, signature: str, flags: list[str]) -> None:
        """Make events of any request: what the compiled maker leaves to Python."""
        about_body, media_type, parts = b"", "", bodies.NO_PARTS
        body = request.body
        if body:
            about_body, media_type, odd = encoder.content_type(request.headers.find(b"Content-Type") or b"")
            flags += odd
            encoding = request.headers.find(b"Content-Encoding")
            if encoding:
                body = request.body = bodies.inflate(body, encoding, self._body_limit)
        if self._privacy is not None:
            self._privacy.apply(request, media_type, flags)
            body = request.body
        raw = request.query
        params: Mapping[str, Any]
        clean = None if body else scan(raw, self._wanted)
        if clean is not None:
            encoded, found, maybe_macros = clean
            params, lossy = dict(zip(self._asked_for, found, strict=True)), False
            left = [name for name, value in maybe_macros if macros.is_macro(value)] if maybe_macros else None
        else:
            params, encoded, odd, lossy = query.decode(raw)
            flags += odd
            if body:
                params, encoded, parts = self._with_body(params, encoded, body, media_type, flags)
            left = macros.find(params)
        if left:
            self._count_macros(left, flags)
        kept = b""
        if raw and (self._keep_raw or (lossy and self._keep_lossy)):
            kept = b',"raw":' + dumps(raw.decode("latin-1"))
        draft = LineDraft(params, b"".join((
            self._frames.get(request.method, request.path, request.route), encoded, kept, about_body,
            b',"client_ip":', dumps(request.client_ip),
            b',"forwarded_for":', encoder.header_text(request.forwarded, flags),
            b',"user_agent":', encoder.header_text(request.agent, flags),
        )), signature, request.received_ns // 1_000_000)  # fmt: skip
        if len(parts) == 1:
            (part,) = parts
            flags += part.flags
            exchange.data = self._line(request, draft, part, flags)
        elif parts:
            lines = [self._line(request, draft, part, [*flags, *part.flags]) for part in parts]
            exchange.data = b"".join(lines)
        else:
            exchange.data = self._line(request, draft, bodies.NOTHING, flags)
        exchange.count = len(parts) or 1
        if self._own_answer:
            self._choose(exchange, draft)

    def _judged(self, result: str, flags: list[str]) -> str:
        """What the event says of its signature. Raises RequestRefusedError where only a good one will do."""
        counts = self.counters.signatures
        counts[result] = counts.get(result, 0) + 1
        if result == "ok":
            return result
        if self._rejects:
            raise RequestRefusedError("signature")
        if result == "expired":
            flags.append("signature_expired")
            return "bad"
        return result

    def _with_body(
        self, params: Params, encoded: bytes, body: bytes, media_type: str, flags: list[str]
    ) -> tuple[Params, bytes, list[bodies.BodyPart]]:
        """The parameters with a form's among them, the same as JSON, and the events' shares of the body."""
        if media_type != bodies.FORM:
            return params, encoded, bodies.split(body, media_type)
        form = query.decode(body)
        flags += [flag for flag in form.flags if flag not in flags]
        part = bodies.BodyPart(None, {}, body)
        if form.lossy and self._keep_lossy:
            part = bodies.BodyPart(dumps(body.decode("latin-1")), {}, body, ("raw_body",))
        both = query.merged(params, form.params)
        return both, dumps(both), [part]

    def _count_macros(self, names: list[str], flags: list[str]) -> None:
        for name in names:
            self.counters.macro(name)
            flags.append(f"macro:{name}")

    def _line(self, request: Request, draft: LineDraft, part: bodies.BodyPart, flags: list[str]) -> bytes:
        """One event."""
        params, keys, received_at = draft.params, part.keys, draft.received_at
        event_at = None
        clock = self._clock
        if clock is not None:
            event_at = clock.read(_value(clock.param, params, keys))
            if event_at is not None and (flag := clock.flag(event_at, received_at)):
                flags.append(flag)
        if keys and (left := macros.find(keys)):
            self._count_macros(left, flags)
        dup_key = self._dup_key(request, params, part)
        if self.window is not None and draft.signature in ("ok", "none"):
            # Not for others: an event that may be forged must not make the platform's own a duplicate.
            key = bytes.fromhex(dup_key)
            place = self.window.add(key, received_at)
            if place < 0:
                flags.append("duplicate")
                self.counters.duplicates += 1
            else:
                draft.remembered.append((place, key))
        if self._key:
            draft.keys.append(self._partition_key(params, keys))
        return b"".join((
            encoder.head(dup_key, received_at, event_at),
            draft.middle,
            self._tails.get(draft.signature, flags, part.encoded),
        ))  # fmt: skip

    def _dup_key(self, request: Request, params: Params, part: bodies.BodyPart) -> str:
        """Equal for repeats: by the first click id that is one, else by all that was sent."""
        for first, *others in self._dedup:
            click_id = null_values.real(_value(first, params, part.keys))
            if click_id is not None:
                for name in others:
                    click_id += f"\0{_value(name, params, part.keys)}"
                return xxh3_128_hexdigest(self._prefix + click_id.encode())
        raw = request.query
        if self._changing:
            raw = b"&".join(pair for pair in raw.split(b"&") if not pair.startswith(self._changing))
        return xxh3_128_hexdigest(b"%s%s\0%s\0%s" % (self._prefix, request.route.encode(), raw, part.raw))

    def _partition_key(self, params: Params, keys: dict[str, Any]) -> bytes | None:
        """The first real value of the parameters named, in lower case: platforms differ in their hashes'."""
        for name in self._key:
            found = null_values.real(_value(name, params, keys))
            if found is not None:
                return found.lower().encode()
        return None

    def _choose(self, exchange: Exchange, draft: LineDraft) -> None:
        """Set what is not the same for all of the source's requests."""
        if self._sets_aside and draft.signature != "ok":
            exchange.dead_letter = "signature"
        if draft.keys:
            exchange.keys = tuple(draft.keys)
        if self._redirect is not None or draft.remembered:
            stored, refusals = self.replies.stored, self.replies.refusals
            if self._redirect is not None:
                stored = self._redirect.reply(draft.params)
            undo = partial(self.window.forget, draft.remembered) if self.window is not None else None
            exchange.replies = Replies(stored, refusals, undo)


def _value(name: str, params: Params, keys: dict[str, Any]) -> Any:
    """A parameter's value or, failing that, that of a top-level key of a JSON body."""
    value = params.get(name)
    return keys.get(name) if value is None else value
