"""Which source takes a path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ingestd.sources.source import Source

# Paths come from outside: the cache of looked-up ones is emptied when it holds this many, and holds none that
# is longer than this.
MAX_CACHED_PATHS = 16_384
MAX_CACHED_LENGTH = 256


class Match(NamedTuple):
    """A path's source, what follows the source's path, and the path as text."""

    source: Source
    route: str
    path: str


class Router:
    """Finds the source whose path is the longest that a request's path equals or continues with `/`."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self._by_path = {source.config.path.encode(): source for source in sources}
        self._longest = max(map(len, self._by_path), default=0)
        self.known: dict[bytes, Match] = {}  # paths that were looked up

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
