"""A configured source: one request in, the final bytes of its events out.

This is the hot path. A feature that is not configured costs one look at an attribute that is None. A line is
joined from its parts, of which only the parameters are encoded for each event.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
from xxhash import xxh3_128_hexdigest

from ingestd.config.source import SourceConfig
from ingestd.errors import RequestRefusedError
from ingestd.http.request import Exchange, Request
from ingestd.http.responses import Replies
from ingestd.pipeline.counters import SourceCounters
from ingestd.sources import body as bodies
from ingestd.sources import encoder, macros, null_values, query
from ingestd.sources.budget import FIXED, Budget, check, text_size
from ingestd.sources.dedup_window import DuplicateWindow
from ingestd.sources.event_time import EventClock
from ingestd.sources.privacy import VALUES_SHARE, Privacy
from ingestd.sources.query import Params, scan
from ingestd.sources.rate_limit import RateLimit
from ingestd.sources.reply import Redirect, echo, refusals, success
from ingestd.sources.signatures import Result, Verifier
from ingestd.sources.tokens import Token

if TYPE_CHECKING:
    from ingestd.sources.public_key import PublicKeyVerifier

dumps = orjson.dumps
# The route of `ingestd send`: its events are flagged `test`.
TEST_ROUTE: Final = "ingestd-test"
# A traceparent (W3C Trace Context) has 55 bytes; a later version of it may have more.
MAX_TRACE = 128


class LineDraft:
    """The part that the lines of a request's events share, and results that are gathered line by line.

    `middle`: from `source` to `user_agent`, as JSON. `keys`: each line's Kafka key. `stable`: the query that
    goes into a `dup_key`, once one was made. `remembered`: places and keys in the duplicate window, see
    DuplicateWindow.forget.
    """

    __slots__ = ("keys", "middle", "params", "received_at", "remembered", "signature", "stable")

    def __init__(self, params: Params, middle: bytes, signature: str, received_at: int) -> None:
        self.params = params
        self.middle = middle
        self.signature = signature
        self.received_at = received_at
        self.keys: list[bytes | None] = []
        self.stable: bytes | None = None
        self.remembered: list[tuple[int, bytes]] = []


class Source:
    """One source, prepared from its configuration.

    `node`: `<host>/<instance>`. `replies`: those to a request without replies of its own. `window`: None
    without `dedup_window`.
    """

    __slots__ = (
        "_asked_for", "_budget", "_clock", "_dedup", "_echo", "_frames", "_individual", "_keep_lossy",
        "_keep_raw", "_key", "_maker", "_prefix", "_privacy", "_quarantines", "_rate", "_redirect",
        "_rejects", "_tails", "_token", "_volatiles", "_wanted", "config", "counters", "methods", "name",
        "public_key", "replies", "verifier", "window",
    )  # fmt: skip

    def __init__(
        self, settings: SourceConfig, counters: SourceCounters, node: str, budget: Budget,
        verifier: Verifier | None = None, privacy: Privacy | None = None,
        window: DuplicateWindow | None = None, public_key: PublicKeyVerifier | None = None,
    ) -> None:  # fmt: skip
        self.config = settings
        self.counters = counters
        self.name = settings.name
        self.methods = frozenset(method.encode() for method in settings.methods)
        # responses
        stored = success(settings.reply)
        self.replies = Replies(stored, refusals(settings.on_overload))
        redirect = settings.reply.redirect
        self._redirect = Redirect(redirect, stored) if redirect else None
        self._echo = echo(settings.reply)
        # admission
        self.verifier = verifier
        self.public_key = public_key
        self._token = verifier if isinstance(verifier, Token) else None
        self._rejects = settings.on_bad_signature == "reject"
        self._quarantines = settings.on_bad_signature == "dead_letter"
        self._rate = RateLimit(settings.max_rate) if settings.max_rate else None
        self._privacy = privacy
        self._budget = budget
        # meaning
        self._clock = EventClock(settings.event_time) if settings.event_time else None
        self._dedup = tuple(tuple(names.split("+")) for names in settings.dedup)
        self._volatiles = tuple(name.encode() + b"=" for name in settings.volatile)
        self._prefix = f"{settings.name}\0{settings.type}\0".encode()
        self.window = window
        self._key = settings.key
        # of a clean query only these parameters are decoded into text
        names = [*settings.key, *(name for group in self._dedup for name in group)]
        names += [self._clock.param] if self._clock else []
        names += [redirect.param] if redirect else []
        names += self._echo.names if self._echo else []
        self._asked_for = tuple(dict.fromkeys(names))
        self._wanted = tuple(name.encode() for name in self._asked_for)
        self._individual = bool(
            settings.key or settings.dedup_window or redirect or self._echo or self._quarantines
        )
        # output
        self._keep_raw = settings.keep_raw == "always" or (
            settings.keep_raw == "odd" and settings.signature.covers_query
        )
        self._keep_lossy = settings.keep_raw != "never"
        self._frames = encoder.Frames(settings.name, settings.type)
        self._tails = encoder.Tails(node)
        plain = not self._individual and privacy is None and self._token is None
        self._maker = encoder.maker(settings, node, self._prefix, keep_raw=self._keep_raw) if plain else None

    def take(self, request: Request, exchange: Exchange, verified: Result | None = None) -> None:
        """Make events of a routed request, which makes its exchange an entry.

        `verified`: the result of `public_key`, if it has been asked. Raises RequestRefusedError if the body
        does not decompress, if the request would become more than the budget allows, if the source rejects
        the signature, and if `max_rate` is exceeded.
        """
        flags: list[str] = []
        signature = "none"
        if self.verifier is not None:
            signature = self._judged(self.verifier.check(request), flags)
        elif self.public_key is not None:
            signature = self._judged(verified or self.public_key.check(request), flags)
        if self._rate is not None and self._rate.exceeded(request.received_ns):
            raise RequestRefusedError("max_rate")
        if self._token is not None:
            self._token.hide(request)
        if request.route == TEST_ROUTE:
            flags.append("test")
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
        self._take_generally(request, exchange, signature, flags)

    def _take_generally(self, request: Request, exchange: Exchange, signature: str, flags: list[str]) -> None:
        """The general path: makes events of any request."""
        about_body, media_type, parts = b"", "", bodies.NO_PARTS
        body = request.body
        allowed = 0
        if body:
            allowed = self._budget.allowance(len(request.target) + len(body))
            about_body, media_type, odd = encoder.content_type(request.headers.find(b"Content-Type") or b"")
            flags += odd
            body = request.body = self._opened(request, media_type, allowed)
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
        if parts:
            self._check_size(draft, parts, flags, allowed)
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
        if self._individual:
            self._set_individual(exchange, draft, parts[0].keys if parts else {})

    def _judged(self, result: str, flags: list[str]) -> str:
        """The event's `signature`. Raises RequestRefusedError if the source rejects it."""
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
        """The parameters, a form's included; the same as JSON; the parts of the body, one for each event."""
        if media_type != bodies.FORM:
            parts = bodies.split(body, media_type, self._budget.events)
            if self.public_key is not None:
                parts = [part._replace(keys=self.public_key.signed(part.keys)) for part in parts]
                params = self.public_key.beside(params, {name for part in parts for name in part.keys})
            return params, encoded, parts
        form = query.decode(body)
        flags += [flag for flag in form.flags if flag not in flags]
        part = bodies.BodyPart(None, {}, body)
        if form.lossy and self._keep_lossy:
            part = bodies.BodyPart(dumps(body.decode("latin-1")), {}, body, ("raw_body",))
        both = query.merged(params, form.params)
        return both, dumps(both), [part]

    def _opened(self, request: Request, media_type: str, allowed: int) -> bytes:
        """The body without its Content-Encoding. Raises RequestRefusedError if it would become too much."""
        body, limit = request.body, self._budget.inflated
        encoding = request.headers.find(b"Content-Encoding")
        if encoding:
            try:
                body = bodies.inflate(body, encoding, min(limit, allowed), limit)
            except RequestRefusedError as error:
                if error.reason == "inflated_too_large" and allowed < limit:
                    raise RequestRefusedError("expands_too_much") from None
                raise
        check(text_size(body, allowed), allowed)
        share = VALUES_SHARE if self._privacy is not None else 1
        bodies.limit_values(body, media_type, self._budget.values // share)
        return body

    def _check_size(
        self, draft: LineDraft, parts: list[bodies.BodyPart], flags: list[str], allowed: int
    ) -> None:
        """Refuse what would become too many bytes of lines, before they are made: each repeats the middle."""
        shared = FIXED + len(draft.middle) + len(self._tails.get("none", flags, None))
        own = sum([len(part.encoded) for part in parts if part.encoded is not None])
        check(len(parts) * shared + own, allowed)

    def _count_macros(self, names: list[str], flags: list[str]) -> None:
        for name in names:
            self.counters.macro(name)
            flags.append(f"macro:{name}")

    def _line(self, request: Request, draft: LineDraft, part: bodies.BodyPart, flags: list[str]) -> bytes:
        """One event's line, with its newline. Appends the event's own flags."""
        params, keys, received_at = draft.params, part.keys, draft.received_at
        event_at = None
        clock = self._clock
        if clock is not None:
            event_at = clock.read(_value(clock.param, params, keys))
            if event_at is not None and (flag := clock.flag(event_at, received_at)):
                flags.append(flag)
        if keys and (left := macros.find(keys)):
            self._count_macros(left, flags)
        dup_key = self._dup_key(request, draft, part)
        if self.window is not None and draft.signature in ("ok", "none"):
            # Only these: an event that may be forged must not make the platform's own a duplicate.
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

    def _dup_key(self, request: Request, draft: LineDraft, part: bodies.BodyPart) -> str:
        """A hash that is equal for repeats: of the first real click id, else of the whole request."""
        params = draft.params
        for first, *others in self._dedup:
            click_id = null_values.real(_value(first, params, part.keys))
            if click_id is not None:
                for name in others:
                    click_id += f"\0{_value(name, params, part.keys)}"
                return xxh3_128_hexdigest(self._prefix + click_id.encode())
        raw = draft.stable
        if raw is None:
            raw = request.query
            if self._volatiles:
                raw = b"&".join([pair for pair in raw.split(b"&") if not pair.startswith(self._volatiles)])
            draft.stable = raw
        return xxh3_128_hexdigest(b"%s%s\0%s\0%s" % (self._prefix, request.route.encode(), raw, part.raw))

    def _partition_key(self, params: Params, keys: dict[str, Any]) -> bytes | None:
        """The first real value of the `key` parameters, in lower case: platforms differ in hash case."""
        for name in self._key:
            found = null_values.real(_value(name, params, keys))
            if found is not None:
                return found.lower().encode()
        return None

    def _set_individual(self, exchange: Exchange, draft: LineDraft, keys: dict[str, Any]) -> None:
        """Set the results that differ from request to request. `keys`: of the body's first event."""
        if self._quarantines and draft.signature != "ok":
            exchange.dead_letter = "signature"
        if draft.keys:
            exchange.keys = tuple(draft.keys)
        if self._redirect is not None or self._echo is not None or draft.remembered:
            stored, refused = self.replies.stored, self.replies.refusals
            if self._redirect is not None:
                stored = self._redirect.reply(draft.params)
            elif self._echo is not None:
                stored = self._echo.reply([_value(name, draft.params, keys) for name in self._echo.names])
            undo = partial(self.window.forget, draft.remembered) if self.window is not None else None
            exchange.replies = Replies(stored, refused, undo)


def _value(name: str, params: Params, keys: dict[str, Any]) -> Any:
    """The value of a parameter, else of a top-level key of a JSON body."""
    value = params.get(name)
    return keys.get(name) if value is None else value
