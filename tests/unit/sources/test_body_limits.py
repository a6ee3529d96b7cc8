"""What one body may cost: events, and the pieces a compressed one is made of."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from ingestd.errors import RequestRefusedError
from ingestd.sources import body

CAP = 8 << 20


@pytest.mark.parametrize(
    ("media_type", "separator"), [("application/json", b","), ("application/x-ndjson", b"\n")]
)
def test_a_body_of_more_events_than_allowed_is_refused_whole(media_type: str, separator: bytes) -> None:
    def content(count: int) -> bytes:
        values = separator.join([b"1"] * count)
        return values if separator == b"\n" else b"[" + values + b"]"

    assert len(body.split(content(100), media_type, 100)) == 100
    with pytest.raises(RequestRefusedError, match="too_many_events"):
        body.split(content(101), media_type, 100)


@pytest.mark.parametrize(
    ("encoding", "piece"),
    [(b"gzip", gzip.compress(b"", mtime=0)), (b"zstd", zstandard.ZstdCompressor().compress(b""))],
)
def test_a_compressed_body_of_more_pieces_than_allowed_is_refused(encoding: bytes, piece: bytes) -> None:
    assert body.inflate(piece * body.MAX_MEMBERS, encoding, CAP) == b""
    with pytest.raises(RequestRefusedError, match="bad_encoding"):
        body.inflate(piece * (body.MAX_MEMBERS + 1), encoding, CAP)
