"""Values that stand for a missing one (`0`, `null`, their hashes): not a click id, a device or a key."""

from __future__ import annotations

import hashlib
from typing import Final

from ingestd.sources import macros

# What programs write where they have nothing, in lower case; with or without brackets or quotes around it:
# (null), <nil>, "undefined". JavaScript writes [object Object] for what it cannot write.
_WORDS = (
    "null", "none", "nil", "undefined", "undef", "unknown", "nan", "n/a", "na", "not set", "not_set",
    "notset", "empty", "missing", "null,null", "object object", "\\n",
)  # fmt: skip
# No device and no error: what Android says of an address it hides, and what programs return for failure.
_FILLERS = ("02:00:00:00:00:00", "020000000000", "-1")
# What stands around a word, and what a value is made of that has no content: zeros and what separates them.
_AROUND: Final = "".join(map(chr, (*range(33), 0x7F, 0x85, 0xA0, 0x200B, 0x3000, 0xFEFF))) + "()[]{}<>\"'"
_ZEROS: Final = "0-:._"
# The longest value that can be one, in characters.
MAX_LENGTH: Final = 128
# What platforms hash when they have nothing: an empty text, zeros, a word, the macro they did not replace.
_HASHED = (
    "", "-", "--", "00000000-0000-0000-0000-000000000000", "00:00:00:00:00:00", "0.0.0.0",  # noqa: S104
    *_FILLERS, *("0" * length for length in range(1, 65)),
    *(form for word in _WORDS for form in (word, word.upper(), word.capitalize(), f"({word})")),
    "N/a", "NaN", "[object Object]",
)  # fmt: skip
_MACROS = (
    "__IMEI__", "__OAID__", "__IDFA__", "__ANDROIDID__", "__MAC__", "__CAID__", "__IMEI2__", "__IDFA2__",
    "__ANDROIDID2__", "__MAC2__", "__OAID2__", "{imei}", "{oaid}", "{idfa}", "{IMEI}", "{OAID}", "{IDFA}",
)  # fmt: skip


def _with_hashes() -> frozenset[str]:
    found = {*_WORDS, *_FILLERS}
    for value in (*_HASHED, *_MACROS):
        for name in ("md5", "sha1", "sha256"):
            found.add(hashlib.new(name, value.encode(), usedforsecurity=False).hexdigest())
    return frozenset(found)


# In lower case, with nothing around it. The compiled lines look in it, too (_line.c).
NULL_LIKE: Final = _with_hashes()


def is_null(value: str) -> bool:
    """Whether a text is a filler, or the hash of one: blank, zeros, or a word for nothing."""
    if len(value) > MAX_LENGTH:
        return False
    inner = value.strip(_AROUND).lower()
    return inner in NULL_LIKE or not inner.strip(_ZEROS)


def real(value: object) -> str | None:
    """A value, or the first of several, as text; None for a filler, the hash of one, and a left-in macro."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and not is_null(value) and not macros.is_macro(value):
        return value
    return None
