"""Profiles: what is known about a platform's callbacks, as data: a TOML file for each platform.

A profile holds keys of a [[source]] (config/source.py); the source's own keys override it, key by key.
Users' own profiles (`ingest.profile_directory`) work alike: one with a new name stands alone or begins with
`extends = "<profile>"`; one with the name of a shipped profile is laid over that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ingestd.config import messages
from ingestd.errors import Problem

Tree = dict[str, Any]

SHIPPED = Path(__file__).parent


class Profiles:
    """The shipped profiles and those of a directory. Raises OSError where that cannot be listed."""

    def __init__(self, directory: Path | None = None) -> None:
        self._shipped = _by_name(SHIPPED.iterdir())
        self._own = _by_name(directory.iterdir()) if directory is not None else {}
        self._trees: dict[Path, Tree] = {}  # each file is read once, however many sources name it

    @property
    def names(self) -> list[str]:
        """The names of all profiles, sorted."""
        return sorted({*self._shipped, *self._own})

    def load(self, name: str, above: tuple[str, ...] = ()) -> Tree:
        """A profile's keys, laid over those of the profiles it extends.

        Raises KeyError for an unknown name, OSError and ValueError (TOML, UTF-8) if it cannot be read.
        """
        if name in above:
            raise ValueError(f"it extends itself: {' > '.join((*above, name))}")
        if name not in self._own and name not in self._shipped:
            raise KeyError(name)
        whole: Tree = {}
        for layer in (self._shipped, self._own):
            if name in layer:
                tree = self._read(layer[name])
                if "extends" in tree:
                    if whole:
                        raise ValueError(f"it is laid over the shipped {name!r} already; leave extends out")
                    whole = self.load(str(tree.pop("extends")), (*above, name))
                whole = overlay(whole, tree)
        return whole

    def _read(self, path: Path) -> Tree:
        if path not in self._trees:
            self._trees[path] = tomllib.loads(path.read_text("utf-8"))
        return dict(self._trees[path])


def _by_name(paths: Iterable[Path]) -> dict[str, Path]:
    return {path.name.removesuffix(".toml"): path for path in paths if path.name.endswith(".toml")}


def apply(tree: Tree, beside: Path, known: frozenset[str]) -> list[Problem]:
    """Lay each source of a parsed configuration over its profile, in place.

    `beside`: the configuration's directory. `known`: the keys a source has.
    """
    sources = tree.get("source")
    if not isinstance(sources, list):
        return []
    named = tree["ingest"].get("profile_directory") if isinstance(tree.get("ingest"), dict) else None
    try:
        profiles = Profiles(beside / named if isinstance(named, str) else None)
    except OSError as error:
        return [Problem("ingest.profile_directory", f"{error.filename}: {error.strerror}")]
    problems = []
    for index, source in enumerate(sources):
        if isinstance(source, dict):
            name = str(source.get("profile", "generic"))
            try:
                below = profiles.load(name)
            except (KeyError, OSError, ValueError) as error:
                problems.append(_trouble(f"source[{index}].profile", name, error, profiles.names))
                continue
            problems += [
                Problem(f"profile {name}", f"unknown key {key!r}", messages.nearest(key, known))
                for key in below
                if key not in known or key in ("name", "path", "profile")
            ]
            sources[index] = overlay(below, source) | _macros(below, source)
    return problems


def _macros(profile: Tree, source: Tree) -> Tree:
    """Every macro the platform is known to replace: the profile's, those of its link, the source's own.

    Empty, so that validation reports it, where one of them is of the wrong type.
    """
    link, own = profile.get("link", {}), source.get("macros", [])
    if not isinstance(link, dict) or not all(
        isinstance(one, list) for one in (profile.get("macros", []), own)
    ):
        return {}
    known = [*profile.get("macros", []), *link.values(), *own]
    return {"macros": list(dict.fromkeys(macro for macro in known if macro != ""))}


def shipped_macros() -> dict[str, tuple[str, ...]]:
    """Each macro of a shipped profile, with the titles of the platforms that replace it."""
    profiles = Profiles()
    found: dict[str, tuple[str, ...]] = {}
    for name in profiles.names:
        tree = profiles.load(name)
        for macro in _macros(tree, {})["macros"]:
            found[macro] = (*found.get(macro, ()), tree.get("title", name))
    return found


def _trouble(where: str, name: str, error: Exception, names: list[str]) -> Problem:
    if isinstance(error, KeyError):
        missing = str(error.args[0])
        what = f"unknown profile {name!r}" if missing == name else f"profile {name!r} extends an unknown one"
        return Problem(where, what, messages.nearest(missing, names))
    return Problem(where, f"profile {name!r}: {error}")


def overlay(base: Tree, top: Tree) -> Tree:
    """`top` over `base`; tables are merged key by key, everything else is replaced.

    So is a table that says another `kind` than the one below it: they have no keys in common.
    """
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        other_kind = both and "kind" in value and value["kind"] != below.get("kind")  # type: ignore[union-attr]
        merged[key] = overlay(below, value) if both and not other_kind else value  # type: ignore[arg-type]
    return merged
