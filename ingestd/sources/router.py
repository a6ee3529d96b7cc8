"""Which source takes a request, by its path."""

from __future__ import annotations

from collections.abc import Sequence

from ingestd.http.request import Request
from ingestd.sources.source import Source

# Paths come from outside: the cache of looked-up ones is emptied when it holds this many, and holds none
# that is longer than this.
MAX_CACHED_PATHS = 16_384
MAX_CACHED_LENGTH = 256


class Match:
    """A path's source, what follows the source's path, and the path as text."""

    __slots__ = ("path", "route", "source")

    def __init__(self, source: Source, route: str, path: str) -> None:
        self.source = source
        self.route = route
        self.path = path


class Router:
    """Finds the source whose path is the longest that a request's path equals or continues with `/`."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self._by_path = {source.config.path.encode(): source for source in sources}
        self._longest = max(map(len, self._by_path), default=0)
        self.known: dict[bytes, Match] = {}  # paths that were looked up

    def route(self, request: Request) -> Source | None:
        """The source that takes a request, or None. Sets the request's `path`, `route` and `query`."""
        target = request.target
        path, _, request.query = target.partition(b"?")
        match = self.known.get(path)
        if match is None:
            match = self.match(path) or self._absolute(target)
            if match is None:
                return None
        request.path = match.path
        request.route = match.route
        return match.source

    def match(self, path: bytes) -> Match | None:
        """The source that takes a path, or None."""
        found = self.known.get(path)
        if found is None:
            found = self._look_up(path)
            if found is not None and len(path) <= MAX_CACHED_LENGTH:
                if len(self.known) >= MAX_CACHED_PATHS:
                    self.known.clear()
                self.known[path] = found
        return found

    def _look_up(self, path: bytes) -> Match | None:
        prefix = path
        if len(path) > self._longest:  # cut first: a target full of slashes must not cost a look-up for each
            prefix = path[: self._longest + 1].rpartition(b"/")[0]
        while prefix:
            source = self._by_path.get(prefix)
            if source is not None:
                return Match(source, path[len(prefix) + 1 :].decode("latin-1"), path.decode("latin-1"))
            prefix = prefix.rpartition(b"/")[0]
        return None

    def _absolute(self, target: bytes) -> Match | None:
        """An absolute target (`http://host/path`), which a server must take too (RFC 9112, 3.2.2)."""
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            return None
        return self.match(b"/" + rest.partition(b"?")[0].partition(b"/")[2])
