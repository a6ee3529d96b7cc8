"""Values that stand for "there is none": never a click id, never a device, never a Kafka key."""

from __future__ import annotations

import hashlib

from ingestd.sources import macros

_WORDS = (
    "null",
    "NULL",
    "Null",
    "none",
    "None",
    "nil",
    "undefined",
    "unknown",
    "UNKNOWN",
    "Unknown",
    "NaN",
    "nan",
)
_FILLERS = (
    "", "-", "-1", "0", "N/A", "n/a", "null,null", "00000000-0000-0000-0000-000000000000",
    "02:00:00:00:00:00", "00:00:00:00:00:00", "020000000000",
)  # fmt: skip
# What platforms hash when they have nothing: the macro they did not replace.
_MACROS = (
    "__IMEI__", "__OAID__", "__IDFA__", "__ANDROIDID__", "__MAC__", "__CAID__", "__IMEI2__", "__IDFA2__",
    "__ANDROIDID2__", "__MAC2__", "__OAID2__", "{imei}", "{oaid}", "{idfa}", "{IMEI}", "{OAID}", "{IDFA}",
)  # fmt: skip


def _with_hashes() -> frozenset[str]:
    plain = {*_WORDS, *_FILLERS, *("0" * length for length in range(1, 65))}
    found = set(plain)
    for value in (*plain, *_MACROS):
        for name in ("md5", "sha1", "sha256"):
            digest = hashlib.new(name, value.encode(), usedforsecurity=False).hexdigest()
            found |= {digest, digest.upper()}
    return frozenset(found)


NULL_LIKE = _with_hashes()


def real(value: object) -> str | None:
    """A value (of several the first) as text if it names something, else None: for a filler, for the hash
    of one, for a macro left in.
    """
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and value not in NULL_LIKE and not macros.is_macro(value):
        return value
    return None
