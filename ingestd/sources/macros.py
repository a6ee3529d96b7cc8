"""Unreplaced macros: a platform that does not support a field sends the literal `__IMEI__`.

Whole values only: a macro inside a value (Baidu's callback_url holds `{{ATYPE}}`) is meant to be there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Form(NamedTuple):
    """One way to spell a macro: a pattern for a whole value, examples, and whose documents have it."""

    pattern: str
    examples: tuple[str, ...]
    documented_by: str


# A name; with hyphens only where it has no digit, or an id in braces would be one.
_NAME = r"(?:[A-Za-z_][A-Za-z0-9_.:?|]*|[A-Za-z]+(?:-[A-Za-z]+)+)"
# A name between percent signs. Two hexadecimal digits of which one is a digit are an escape, and so are
# two before a percent sign.
_PERCENT_NAME = r"(?![A-Fa-f](?:[0-9]|[A-Fa-f]%))[A-Za-z_][A-Za-z0-9_.:]*"
FORMS: Final = (
    Form(
        r"__[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*__",
        ("__IMEI__", "__CALLBACK_PARAM__", "__MID1__", "__Mixed__"),
        "Ocean Engine, Kuaishou, Tencent, Baidu, Bilibili, Xiaomi, TikTok, Adform",
    ),
    Form(r"_[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_", ("_IMEI_", "_A_B_"), "none; seen in trackers' links"),
    Form(
        rf"[$%]?\{{{{1,3}}%?{_NAME}%?\}}{{1,3}}",
        ("{IMP}", "{clicktime}", "{GX_CAID}", "{{IMEI}}", "{{ad.id}}", "{cl?NetworkName}", "{keyword:shoes}",
         "${GAID}", "${GDPR_CONSENT_50}", "%{bid_id}", "{click-id}", "{%ad_id%}"),
        "Weibo, UC, Mintegral, Adjust, Google Ads, Taboola ({x}); Meta, Baidu ({{x}}); Xandr, Adobe (${x}); "
        "Moloco (%{x}); none for {%x%}, which is that of brackets",
    ),
    Form(r"\$\$?[A-Za-z_][A-Za-z0-9_]*\$\$?", ("$im$", "$x_y$", "$c1$"), "OPPO"),
    Form(
        rf"\[{{1,2}}%?(?!(?:true|false|null)\]){_NAME}%?\]{{1,2}}",
        ("[TS]", "[CALLBACK_URL]", "[timestamp]", "[RandomNumber]", "[[CLICK_ID]]", "[[Apple-Idfa]]",
         "[%tp_AdID%]"),
        "Momo, LevelPlay, AdButler, Passendo ([x]); Getintent, Digital Turbine ([[x]]); Sizmek ([%x%])",
    ),
    Form(r"@[A-Za-z_][A-Za-z0-9_]*@", ("@trackingid@",), "Passendo"),
    Form(
        f"%%?{_PERCENT_NAME}%%?",
        ("%IMEI%", "%callback%", "%CAMPAIGN_ID%", "%dpid_1%", "%%TTD_IMPRESSIONID%%", "%%ADVERTISER_ID%%",
         "%%PATTERN:url%%"),
        "The Trade Desk, Adform, Google Ad Manager (%%X%%); Audience Manager, mediasmart, TANV (%x%)",
    ),
    Form("%e[a-z]{2,}!", ("%eaid!", "%ecid!", "%ebuy!"), "Campaign Manager 360"),
)  # fmt: skip
# The longest one that is looked at, in characters.
MAX_LENGTH: Final = 128
_MACRO = re.compile("|".join(form.pattern for form in FORMS))
# The first and the last character of a macro; the compiled scanner has the same (_query.h).
FIRST: Final = frozenset("_{$[%@")
LAST: Final = frozenset("_}$]%@!")
# A platform leaves the same few macros in, thousands of times a second. They come from outside: so many are
# remembered, and only short ones.
MAX_KNOWN, MAX_KNOWN_LENGTH = 1024, 64
_known: dict[str, bool] = {}


def is_macro(value: object) -> bool:
    """Whether a decoded value is a left-in macro. Anything but a str is not."""
    if value.__class__ is not str:
        return False
    known = _known.get(value)
    return _look(value) if known is None else known


def is_raw_macro(value: str) -> bool:
    """Whether a value, still escaped, is a macro with percent signs of its own.

    Decoding would destroy it: `%CA` of `%CAMPAIGN_ID%` is the escape of a byte.
    """
    return "%" in value and is_macro(value)


def _look(value: str) -> bool:
    if value[:1] not in FIRST or len(value) > MAX_LENGTH:
        return False
    found = _MACRO.fullmatch(value) is not None
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
            if value and value[0] in FIRST and is_macro(value):
                found.append(name)
        elif isinstance(value, list) and any(map(is_macro, value)):
            found.append(name)
    return found
