"""murmur2 as Kafka's Java client computes it, which chooses the partition of a key.

Compiled (_murmur2.c) where a compiler was at hand at installation, else in Python: 0.05 and 3 us a key.
Source: org.apache.kafka.common.utils.Utils.murmur2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

_M, _SEED, _MASK = 0x5BD1E995, 0x9747B28C, 0xFFFFFFFF


@cache
def _words(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")


def murmur2_in_python(key: bytes, /) -> int:
    """The key's hash, 0 to 2**32 - 1."""
    length = len(key)
    h = _SEED ^ length
    for word in _words(length >> 2).unpack_from(key):
        k = word * _M & _MASK
        h = h * _M & _MASK ^ (k ^ k >> 24) * _M & _MASK
    if length & 3:
        h = (h ^ int.from_bytes(key[length & ~3 :], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


murmur2: Callable[[bytes], int]
try:
    from ingestd.kafka._murmur2 import murmur2
except ImportError:
    murmur2 = murmur2_in_python
