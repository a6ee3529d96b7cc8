"""Queries of any bytes, for Hypothesis: made of what a decoder may stumble over, or of noise."""

from __future__ import annotations

from hypothesis import strategies as st

ODD = st.lists(
    st.sampled_from([
        b"a", b"b", b"k", b"t", b"u", b"p", b"v", b"=", b"&", b"%", b"%4", b"%41", b"%zz", b"%25", b"%26",
        b"%00", b"+", b";", b"#", b'"', b"%22", b"\\", b"%5C", b"\xd6\xd0", b"%D6%D0", b"%E4%BD%A0",
        b"\xe4\xbd\xa0", b"%F0%9F%98", b"%EF%BF%BD", b"%ED%A0%80", b"__X__", b"{x}", b"1718000000",
        b"https://x.example/", b"\x7f",
    ]),
    max_size=25,
).map(b"".join)  # fmt: skip


QUERY = st.one_of(ODD, st.binary(max_size=120))
