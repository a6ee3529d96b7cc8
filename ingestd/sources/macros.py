"""Unreplaced macros: a platform that does not support a field sends the literal `__IMEI__`.

Whole values only: a macro inside a value (Baidu's callback_url holds `{{ATYPE}}`) is meant to be there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# __X__ __Mixed__ {X} {{X}} $x$ ${X} [X] %X% _X_ _X_Y_
_MACRO = re.compile(
    r"__[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*__"
    r"|\{\{?[A-Za-z_][A-Za-z0-9_.:]*\}\}?"
    r"|\$[A-Za-z_]+\$|\$\{[A-Za-z_]+\}|\[[A-Z_]+\]|%[A-Z_]+%|_[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_"
)
_FIRST = frozenset("_{$[%")
# A platform leaves the same few macros in, thousands of times a second. They come from outside: so many are
# remembered, and only short ones.
MAX_KNOWN, MAX_KNOWN_LENGTH = 1024, 64
_known: dict[str, bool] = {}
# A value that begins like a macro, raw or escaped: finds nearly nothing in a query that has none.
_maybe = re.compile(rb"=(?:[_{$\[]|%(?:7[Bb]|5[BbFf]|24|25|[A-Z_]{3}|[A-Z_]+%))").search


def may_contain(query: bytes) -> bool:
    """Cheap: whether any value of a raw query could be a macro."""
    return _maybe(query) is not None


def is_macro(value: object) -> bool:
    """Whether a decoded value is a macro left in."""
    if value.__class__ is not str:
        return False
    known = _known.get(value)
    return _look(value) if known is None else known


def _look(value: str) -> bool:
    found = value[:1] in _FIRST and _MACRO.fullmatch(value) is not None
    if found and len(value) <= MAX_KNOWN_LENGTH:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[value] = True
    return found


def find(params: Mapping[str, Any]) -> list[str]:
    """The names of the parameters whose value (or one of whose values) is an unreplaced macro."""
    found = []
    for name, value in params.items():
        if value.__class__ is str:
            if value and value[0] in _FIRST and _MACRO.fullmatch(value):
                found.append(name)
        elif isinstance(value, list) and any(map(is_macro, value)):
            found.append(name)
    return found
