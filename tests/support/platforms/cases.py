"""What platforms send, case by case, and what must become of it.

`full`: as the platform's template says. `macros`: fields it did not fill in. `hostile`: what goes wrong in
real traffic. Requests are the shipped examples, or made from the platform's table of macros; ids invented.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

_DATA = json.loads(resources.files("ingestd").joinpath("data/callbacks.json").read_text("utf-8"))
SAMPLES: dict[str, str] = _DATA["callbacks"]
# The example of each profile that `ingestd send` sends: its URL, and the JSON that is posted or None.
EXAMPLES: dict[str, tuple[str, Any]] = {
    profile: (SAMPLES.get(found, found), None) if isinstance(found, str) else (found["url"], found["json"])
    for profile, found in _DATA["a request of each profile"].items()
}

OK = (200, b"ok")
TENCENT = (200, b'{"ret":0,"msg":"success"}')
XIAOMI = (200, b'{"code":0,"failMsg":""}')
HUAWEI = (200, b'{"resultCode":0,"resultMessage":"success"}')


@dataclass(frozen=True)
class Case:
    """One request. `click_id`: what the dup_key is made of; None: the whole request. `signature`: its result.

    `params`: some of the event's parameters; `absent`: names it must not have. `raw`: kept or not.
    """

    name: str
    profile: str
    request: str | bytes
    reply: tuple[int, bytes] = OK
    event_at: int | None = None
    click_id: str | None = None
    flags: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    raw: bool = False
    body: bytes = b""
    content_type: str = "application/json"
    body_is: Any = None
    signature: str = "none"


def full(profile: str, what: str = "", **expected: Any) -> Case:
    """The profile's example, as `ingestd send` sends it."""
    url, posted = EXAMPLES[profile]
    body = json.dumps(posted, ensure_ascii=False).encode() if posted else b""
    name = f"{profile} full: {what}" if what else f"{profile} full"
    return Case(name, profile, url, body=body, body_is=posted, **expected)
