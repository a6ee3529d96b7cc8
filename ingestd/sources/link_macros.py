"""Judges the value of a link's parameter: the right macro, a misspelt one, another platform's."""

from __future__ import annotations

import difflib
from functools import cache, lru_cache
from typing import Literal, NamedTuple
from urllib.parse import unquote

from ingestd.config import profiles
from ingestd.config.source import SourceConfig
from ingestd.sources import links, macros

ValueKind = Literal["misspelt", "escaped", "foreign", "unknown", "other_parameter", "fixed", "empty"]
_NEAR = 0.75


class Verdict(NamedTuple):
    """A fault of a value. `write`: the right one, None if unknown. `certain`: it cannot be right."""

    kind: ValueKind
    what: str
    write: str | None
    certain: bool = True


def judge_value(value: str, name: str, source: SourceConfig, *, of_click: bool) -> Verdict | None:
    """The fault of a value as it is written in the link; None if it has none. `name`: as the source reads it.

    `of_click`: it came with a request, where a platform has put real values in place of macros.
    """
    text = unquote(value)
    if source.macros:
        if value in source.macros:
            return _other_parameter(value, name, source)
        if text in source.macros:
            return Verdict("escaped", f"the platform does not replace {text} percent-encoded", text)
        if macros.is_macro(text) or like_macro(text):
            return _strange(text, name, source, of_click=of_click)
        if any(macro in text for macro in source.macros):
            return None
    if of_click or name not in links.needed(source) or like_macro(text) or text == links.TOKEN:
        return None
    what = f"{name!r} has a fixed value, the same in every click" if text else f"{name!r} is empty"
    return Verdict("fixed" if text else "empty", what, source.link.get(name) or None)


def like_macro(text: str) -> bool:
    """Whether a value is a macro, or was meant to be one."""
    return macros.is_macro(text) or (len(text) > 2 and (text[0] in "_{$[%" or text[-1] in "_}$]%"))


def _other_parameter(macro: str, name: str, source: SourceConfig) -> Verdict | None:
    """A macro of the platform, in a parameter from which the source makes something else."""
    expected = source.link.get(name)
    owners = [one for one, own in source.link.items() if own == macro]
    if expected in source.macros and owners and name not in owners and name in _read(source):
        return Verdict("other_parameter", f"{macro} is the macro of {owners[0]!r}", expected)
    return None


def _strange(text: str, name: str, source: SourceConfig, *, of_click: bool) -> Verdict | None:
    """A macro that the platform is not known to replace, or what looks like one."""
    known = _by_bare(source.macros)
    if meant := known.get(_bare(text)):
        return Verdict("misspelt", f"{text} is not how {meant} is written", meant)
    if any(macro in text for macro in source.macros) or (of_click and not macros.is_macro(text)):
        return None
    if titles := _platforms().get(text):
        what = f"{text} is a macro of {' and '.join(titles[:3])}, not of {source.title or source.profile}"
        # The macros of a postback are the network's own, and many.
        return Verdict("foreign", what, source.link.get(name) or None, source.type != "postback")
    near = [known[bare] for bare in difflib.get_close_matches(_bare(text), known, cutoff=_NEAR)]
    if near:
        own = source.link.get(name)
        right = own if own in near else near[0]
        return Verdict("unknown", f"{text} is not a macro of this platform", right)
    return Verdict(
        "unknown", f"{text} is not a macro that profile {source.profile} knows", None, certain=False
    )


def _read(source: SourceConfig) -> set[str]:
    """The parameters from which something is made."""
    names = {source.ip_param, source.ua_param, *source.mandatory, *source.key}
    names.update(part for one in source.dedup for part in one.split("+"))
    if source.event_time is not None:
        names.add(source.event_time.param)
    return names


@lru_cache(maxsize=256)
def _by_bare(known: tuple[str, ...]) -> dict[str, str]:
    return {_bare(macro): macro for macro in reversed(known)}


def _bare(macro: str) -> str:
    return "".join(filter(str.isalnum, macro)).upper()


@cache
def _platforms() -> dict[str, tuple[str, ...]]:
    return profiles.shipped_macros()
