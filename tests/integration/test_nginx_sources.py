"""nginx finds the source of a request as ingestd itself does, by hash tables, which ignore case."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ingestd.cli import nginx
from ingestd.sources.router import Router
from tests.support.fakes import make_source
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.wire import ask, request

PATHS = (
    "/c/ocean",
    "/c/ocean/app",
    "/c/Ocean/App",
    "/C/ocean",
    "/c",
    "/c/o.e+a(n)",
    "/x/y/z/w",
    '/q/"quoted"',
    "/q/$usd",
)
SEGMENTS = (
    "",
    "c",
    "C",
    "ocean",
    "OCEAN",
    "Ocean",
    "app",
    "App",
    "oxe+a(n)",
    "o.e+a(n)",
    "x",
    "y",
    "z",
    "w",
    "w2",
)


def routed(paths: Sequence[str]) -> Router:
    return Router([make_source(name=f"s{number}", path=path) for number, path in enumerate(paths)])


class Asked:
    """An nginx that has the generated maps and answers each request with the source it found."""

    def __init__(self, place: Path, paths: Sequence[str]) -> None:
        self.router = routed(paths)
        sources = [source.config for source in self.router.sources]
        self.nginx = Nginx(place, [place / "no.sock"])
        http = nginx.http_part(sources, nginx.spill_format(sources))
        (place / "site.conf").write_text(
            f"{http}\nserver {{ listen 127.0.0.1:{self.nginx.port}; merge_slashes off; "
            'location / { types { } return 200 "$ingestd_source"; } }'
        )

    def differing(self, targets: Iterator[str] | Sequence[str]) -> list[tuple[str, str, str]]:
        """Targets for which nginx and the router differ: target, nginx' answer, the router's."""
        found = []
        for target in targets:
            match = self.router.match(target.partition("?")[0].encode())
            ours = "=" + (match.source.name if match is not None else "")
            theirs = ask(self.nginx.address, request(target)).body.decode()
            if ours != theirs:
                found.append((target, theirs, ours))
        return found


@pytest.fixture(autouse=True)
def _nginx_is_there() -> None:
    need_nginx()


def test_every_path_of_few_segments_finds_the_same_source(place: Path) -> None:
    asked = Asked(place, PATHS)
    targets = [
        "/" + "/".join(some) for size in (1, 2, 3) for some in itertools.product(SEGMENTS, repeat=size)
    ]
    targets += [*PATHS, *(path + "/" for path in PATHS), *(path + "?a=/c/ocean" for path in PATHS)]
    targets += ["/x/y/z/w/more", "/x/y/z/w2", "/c/ocean2", "/c/ocean%2fapp", "/c//ocean", "/?/c/ocean"]
    with asked.nginx:
        assert asked.differing(targets) == []


def test_ten_thousand_sources_of_long_names_fit_nginx_s_tables_without_a_warning(place: Path) -> None:
    paths = [f"/click/{'network-' * 12}{number}" for number in range(10_000)]
    asked = Asked(place, paths)
    with asked.nginx:
        assert asked.differing([paths[0], paths[5000] + "/app?x=1", paths[-1], "/click/none"]) == []
    assert "optimal" not in asked.nginx.log()
