"""Turns pydantic's validation errors into sentences an operator can act on: what is wrong, what to write."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ingestd.errors import Problem

_NAME = 'small letters, digits, "_", "." and "-", 64 at most, a letter or digit first'
# For keys that are required or have a form of their own: an example, and the form in words.
_EXAMPLES = {
    "name": ('"ocean"', _NAME),
    "path": ('"/c/ocean"', 'a "/" first and none at the end, no space'),
    "profile": ('"generic"', _NAME),
    "prefix": ('"clicks"', _NAME),
    "instance": ('"web-1"', 'letters, digits, "_", "." and "-", 64 at most, a letter or digit first'),
    "public_base": ('"https://click.example.com"', "the scheme and host, no path"),
    "bootstrap": ('["kafka1:9092"]', "hosts with their ports"),
    "param": ('"ts"', "the parameter's name"),
    "content_type": ('"text/plain"', "a media type"),
    "fallback": ('"https://www.example.com/"', "an address"),
    "topic": ('"clicks"', 'letters, digits, "_", "." and "-", 249 at most'),
    "hosts": ('["example.com"]', "hosts"),
}
_KINDS = {  # by the beginning of pydantic's type of error: what the value is not, and what to write
    "int_": ("not a whole number", "write a whole number, without quotes"),
    "float_": ("not a number", "write a number, without quotes"),
    "bool_": ("neither true nor false", "write true or false, without quotes"),
    "string_type": ("not text", "write it in quotes"),
    "path_type": ("not a path", "write it in quotes"),
    "tuple_type": ("not a list", "write it in brackets"),
    "list_type": ("not a list", "write it in brackets"),
    "dict_type": ("not a table", "write it in braces"),
}
# How many known words are named; there may be 10,000 sources.
NAMED = 50
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """A Problem for each error, with the dotted key and, for an unknown key, the nearest known one."""
    return [_problem(dict(detail), model) for detail in error.errors(include_url=False)]


def _problem(detail: dict[str, Any], model: type[BaseModel]) -> Problem:
    location, kind = tuple(detail["loc"]), str(detail["type"])
    key = dotted(location)
    name = next((part for part in reversed(location) if isinstance(part, str)), "")
    value = _shown(name, detail.get("input"))
    if kind == "extra_forbidden":
        known = list(model_at(model, location[:-1]).model_fields)
        return Problem(key, "unknown key", nearest(str(location[-1]), known))
    if kind == "missing":
        example, form = _EXAMPLES.get(name, ("...", "it has no default"))
        return Problem(key, "is missing", f"write {name} = {example}: {form}")
    if kind == "literal_error":
        return Problem(key, f"invalid value {value}", f"write {detail['ctx']['expected']}")
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return Problem(key, f"{value} is out of range", f"write {words} {detail['ctx'][bound]:g}")
    if kind == "model_type" or location == ("source",):
        return Problem(key, f"{value} is not a table", f"write {_table(location, name)}")
    for beginning, (what, how) in _KINDS.items():
        if kind.startswith(beginning):
            return Problem(key, f"{value} is {what}", how)
    if name in _EXAMPLES and kind in ("string_pattern_mismatch", "string_too_short", "too_short"):
        example, form = _EXAMPLES[name]
        return Problem(key, f"invalid value {value}", f"write, for example, {example}: {form}")
    message = str(detail["msg"]).removeprefix("Value error, ")
    what, _, hint = message.partition("; ")
    return Problem(key, what, hint)


def _shown(name: str, value: object) -> str:
    """A wrong value, cut to 60 characters; hidden where somebody may have written the secret itself."""
    if any(word in name for word in ("key", "password", "secret", "token", "credential")):
        return "the value"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _table(location: tuple[int | str, ...], name: str) -> str:
    if location[0] == "source" and len(location) <= 2:
        return "[[source]], in double brackets, above the keys of each"
    return f"[{name}] above its keys" if len(location) == 1 else f"{name} = {{ ... }} with its keys in it"


def dotted(location: tuple[int | str, ...]) -> str:
    """A key as it is shown: ("source", 0, "name") is "source[0].name"."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "file"


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the known word nearest to `word`, or name the first of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"use one of {', '.join(names[:NAMED])}{more}"


def model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the section that a key is in, or of the last known section on the way there."""
    for part in location:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(str(part))
        inner = _inner_model(field.annotation) if field is not None else None
        if inner is None:
            break
        model = inner
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if found := _inner_model(argument):
            return found
    return None
