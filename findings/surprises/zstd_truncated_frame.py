"""zstandard's stream reader takes a truncated frame for its end: no error, only fewer bytes.

A body that was cut would be stored as if it were whole. ingestd asks the frame object, which knows better
(ingestd/sources/body.py).
"""

import os

import zstandard

whole = zstandard.ZstdCompressor().compress(os.urandom(500_000))
cut = whole[: len(whole) // 2]
got = zstandard.ZstdDecompressor().stream_reader(cut).read()
frame = zstandard.ZstdDecompressor().decompressobj()
frame.decompress(cut)
print(f"stream reader: {len(got):,} of 500,000 bytes and no error; the frame object's eof: {frame.eof}")
