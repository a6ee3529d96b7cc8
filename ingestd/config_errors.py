"""Turns pydantic's validation errors into sentences an operator can act on."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ingestd.errors import Problem


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """One Problem an error, with the dotted key and, for an unknown key, the nearest known one."""
    return [_problem(dict(detail), model) for detail in error.errors(include_url=False)]


def _problem(detail: dict[str, Any], model: type[BaseModel]) -> Problem:
    location = tuple(part for part in detail["loc"] if part != "function-before")
    key = dotted(location)
    if detail["type"] == "extra_forbidden":
        known = list(_model_at(model, location[:-1]).model_fields)
        return Problem(key, "unknown key", nearest(str(location[-1]), known))
    if detail["type"] == "missing":
        return Problem(key, "is missing")
    message = str(detail["msg"]).removeprefix("Value error, ")
    what, _, hint = message.partition("; ")
    return Problem(key, what, hint)


def dotted(location: tuple[int | str, ...]) -> str:
    """("source", 0, "name") to "source[0].name"."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "file"


def nearest(word: str, known: list[str]) -> str:
    """A hint at the known word nearest to `word`, or the list of all."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
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
