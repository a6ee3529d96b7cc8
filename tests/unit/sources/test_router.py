"""Which source takes a path."""

from __future__ import annotations

import pytest

from ingestd.pipeline.counters import Counters
from ingestd.sources.router import MAX_CACHED_LENGTH, MAX_CACHED_PATHS, Router
from tests.support.fakes import make_source

PATHS = ["/c/ocean", "/c/ocean/special", "/c", "/p.ost-back_2"]


def router(*paths: str) -> Router:
    counters = Counters()
    return Router([make_source(counters, name=f"s{number}", path=path) for number, path in enumerate(paths)])


@pytest.mark.parametrize(
    ("path", "source", "route"),
    [
        (b"/c/ocean", "/c/ocean", ""),
        (b"/c/ocean/", "/c/ocean", ""),
        (b"/c/ocean/app42", "/c/ocean", "app42"),
        (b"/c/ocean/app42/x/y", "/c/ocean", "app42/x/y"),
        (b"/c/ocean/special", "/c/ocean/special", ""),
        (b"/c/ocean/special/x", "/c/ocean/special", "x"),
        (b"/c/ocean/specialist", "/c/ocean", "specialist"),
        (b"/c/oceania", "/c", "oceania"),
        (b"/c", "/c", ""),
        (b"/c//", "/c", "/"),
        (b"/c/ocean//app", "/c/ocean", "/app"),
        (b"/c/%6Fcean", "/c", "%6Fcean"),
        (b"/c/x%2Fy", "/c", "x%2Fy"),
        (b"/p.ost-back_2/t", "/p.ost-back_2", "t"),
        (b"/c/\xd6\xd0", "/c", "\xd6\xd0"),
    ],
)
def test_the_longest_path_takes_it_and_the_rest_is_the_route(path: bytes, source: str, route: str) -> None:
    for _ in range(2):  # looked up, then remembered
        match = router(*PATHS).match(path)
        assert match is not None
        assert (match.source.config.path, match.route, match.path) == (source, route, path.decode("latin-1"))


@pytest.mark.parametrize(
    "path", [b"", b"/", b"/C", b"/cc", b"/d", b"c", b"*", b"//c", b"/p", b"/p.ost-back_2x", b"\xff"]
)
def test_a_path_nobody_configured_is_nobodys(path: bytes) -> None:
    assert router(*PATHS).match(path) is None


def test_without_sources_nothing_matches() -> None:
    assert router().match(b"/c") is None


def test_a_path_is_looked_up_once() -> None:
    built = router(*PATHS)
    assert built.match(b"/c/ocean/app42") is built.match(b"/c/ocean/app42")


def test_paths_from_outside_take_bounded_memory() -> None:
    built = router("/c")
    for number in range(MAX_CACHED_PATHS * 2 + 10):
        match = built.match(b"/c/%d" % number)
        assert match is not None
        assert match.route == str(number)
        assert len(built.known) <= MAX_CACHED_PATHS
    for number in range(100):
        built.match(b"/nobody/%d" % number)
        built.match(b"/c/" + b"x" * MAX_CACHED_LENGTH + b"%d" % number)
    assert all(len(path) <= MAX_CACHED_LENGTH for path in built.known)
    assert not any(path.startswith(b"/nobody") for path in built.known)


@pytest.mark.parametrize("start", [b"", b"/c/ocean", b"/c/ocean/", b"/nobody/"])
def test_a_path_of_slashes_costs_no_look_up_for_each(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """32 KiB of slashes took 0.6 s: the loop stood still for one request."""
    built = router(*PATHS)
    lookups = [0]

    class Counting(dict[bytes, object]):
        def get(self, key: bytes, default: object = None) -> object:
            lookups[0] += 1
            return super().get(key, default)

    monkeypatch.setattr(built, "_by_path", Counting(built._by_path))
    built.match(start + b"/" * 32_000)
    assert lookups[0] <= max(map(len, PATHS))
