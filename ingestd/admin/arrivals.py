"""A click held up to what its source expects: field by field, and what is missing for this platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingestd.admin import redaction
from ingestd.config.source import SourceConfig
from ingestd.sources import links, macros, null_values

# How a field came. `extra`: it came, and the source's link does not name it.
OK, MACRO, EMPTY, MISSING, EXTRA = "ok", "macro", "empty", "missing", "extra"


def expected(source: SourceConfig) -> list[dict[str, Any]]:
    """The fields that are needed, then the others of the source's link in its order."""
    wanted = links.needed(source)
    names = dict.fromkeys([*wanted, *source.link])
    if not source.signature.verifies:  # its macro is not in the link then
        names.pop(source.signature.param, None)
    return [
        {
            "name": name,
            "macro": source.link.get(name, ""),
            "needed": name in wanted,
            "roles": roles(source, name),
        }
        for name in names
        if source.link.get(name) or name in wanted
    ]


def roles(source: SourceConfig, name: str) -> list[str]:
    """The parts a parameter plays for its source: `event_time`, `click_id`, `credential`, ..."""
    signature = source.signature
    found = (
        ("event_time", source.event_time is not None and name == source.event_time.param),
        ("click_id", any(name in one.split("+") for one in source.dedup)),
        ("kafka_key", name in source.key),
        ("address", name == source.ip_param),
        ("user_agent", name == source.ua_param),
        ("signature", signature.kind != "none" and name == signature.param),
        ("credential", name.lower() in redaction.names(source)),
        (f"privacy_{source.privacy.get(name)}", name in source.privacy),
    )
    return [role for role, applies in found if applies]


class Arrivals:
    """Judges the clicks of one source, as it is configured."""

    def __init__(self, source: SourceConfig) -> None:
        self._source = source
        self._hidden = redaction.names(source)
        self._expected = expected(source)
        self._named = {field["name"] for field in self._expected}
        self._dropped = {name for name, action in source.privacy.items() if action == "drop"}

    def judged(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """An event with its credentials masked, each field's state, and the needed ones that are lacking."""
        masked = redaction.mask_event(event, self._hidden)
        came, shown = _values(event), _values(masked)
        fields = [{**field, **self._arrival(field, came, shown)} for field in self._expected]
        fields += [
            {"name": name, "macro": "", "needed": False, "roles": roles(self._source, name),
             "state": MACRO if _state(came, name) == MACRO else EXTRA, "value": value}
            for name, value in shown.items()
            if name not in self._named
        ]  # fmt: skip
        lacking = [field["name"] for field in fields if field["needed"] and field["state"] not in (OK, EXTRA)]
        good = not lacking and event["signature"] in ("ok", "none")
        return {"event": masked, "fields": fields, "lacking": lacking, "good": good}

    def _arrival(
        self, field: Mapping[str, Any], came: Mapping[str, Any], shown: Mapping[str, Any]
    ) -> dict[str, Any]:
        name = field["name"]
        state = OK if name in self._dropped else _state(came, name, needed=field["needed"])
        return {"state": state, "value": shown.get(name)}


def _values(event: Mapping[str, Any]) -> dict[str, Any]:
    """The values a source's settings may name: of the parameters or, failing these, the body's top level."""
    body = event.get("body")
    return {**(body if isinstance(body, dict) else {}), **event["params"]}


def _state(values: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    """How a value came. One that stands for nothing ("0", "null") is empty where something is needed."""
    if name not in values:
        return MISSING
    value = values[name]
    first = value[0] if isinstance(value, list) and value else value
    if macros.is_macro(first):
        return MACRO
    nothing = isinstance(first, str | int) and null_values.real(first) is None
    return EMPTY if first == "" or (needed and nothing) else OK
