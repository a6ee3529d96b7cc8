"""Percent escapes: the standard library is the oracle, and calls are counted instead of time."""

from __future__ import annotations

import sys
from types import FrameType
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestd.sources.percent import unquote

LIKELY = st.lists(
    st.sampled_from(
        [b"%", b"%4", b"%41", b"%fF", b"%g0", b"\\", b"x41", b"u0041", b"\xff", b"+", b"\n", b"N{", b"}"]
    )
)


@given(st.one_of(st.binary(), LIKELY.map(b"".join)))
@example(b"%%41%")
@example(b"\\%41\\x41%")
def test_it_is_the_standard_librarys(text: bytes) -> None:
    assert unquote(text) == unquote_to_bytes(text)


@pytest.mark.parametrize("piece", [b"%", b"%4", b"%41", b"%41%", b"%g1"])
def test_no_call_is_made_for_each_percent_sign(piece: bytes) -> None:
    """The standard library's raises and catches a KeyError for each that is not an escape."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        unquote(piece * 10_000)
    finally:
        sys.setprofile(None)
    assert calls < 30
