"""Profiles: what is known of a platform's callbacks, as data. One TOML file a platform.

A profile holds the keys of a [[source]] (config.py); the source's own keys override it, key by key.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from typing import Any

from ingestd.errors import Problem


def names() -> list[str]:
    """The names of all profiles shipped with the package."""
    files = resources.files(__name__).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in files if entry.name.endswith(".toml"))


def load(name: str) -> dict[str, Any]:
    """A profile's keys. Raises FileNotFoundError."""
    return tomllib.loads(resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))


def apply(tree: dict[str, Any]) -> list[Problem]:
    """Lay each source of a parsed configuration over its profile, in place."""
    sources = tree.get("source")
    if not isinstance(sources, list):
        return []
    problems = []
    for index, source in enumerate(sources):
        if not isinstance(source, dict):
            continue
        name = source.get("profile", "generic")
        if name not in names():
            near = difflib.get_close_matches(str(name), names(), n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(names())}"
            problems.append(Problem(f"source[{index}].profile", f"no profile {name!r}", hint))
        else:
            sources[index] = overlay(load(name), source)
    return problems


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """`top` over `base`; tables are merged key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
