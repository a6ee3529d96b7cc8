"""[[source]]: what is configured of one ad platform's feed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ingestd.config_fields import Name, Section


class ReplyConfig(Section):
    """`reply`: what the platform wants to hear when its event is taken."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    body: str = "ok"
    content_type: str = "text/plain"


class OverloadConfig(Section):
    """`on_overload`: what the platform is told when its event cannot be taken now."""

    status: Annotated[int, Field(ge=200, le=599)] = 503
    body: str = "busy"
    retry_after: Annotated[int, Field(ge=0, le=86400)] = 1


class EventTime(Section):
    """`event_time`: the parameter with the platform's own time of the event, and its unit."""

    param: str
    unit: Literal["auto", "s", "ms"] = "auto"


Method = Literal["GET", "POST"]


class Source(Section):
    """[[source]]: one ad platform's feed. A profile gives the defaults; every key overrides its own."""

    name: Name
    path: Annotated[str, Field(pattern=r"^/[!-~]*[!-.0-~]$|^/[!-.0-~]$")]
    profile: Name = "generic"
    type: Literal["click", "impression", "postback"] = "click"
    methods: tuple[Method, ...] = ("GET", "POST")
    event_time: EventTime | None = None
    dedup: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    keep_raw: Literal["always", "odd", "never"] = "odd"
    reply: ReplyConfig = ReplyConfig()
    on_overload: OverloadConfig = OverloadConfig()
