"""Damaged gzip raises three kinds of errors, and zlib.error is not an OSError.

`except OSError` around reading it lets a damaged file end the program in a traceback (commit 5e706f9).
"""

import gzip

whole = gzip.compress(b"clicks\n" * 10_000)
flipped = bytearray(whole)
flipped[20] ^= 0xFF
cases = {"cut short": whole[:-20], "bytes that do not inflate": bytes(flipped), "another file": b"no gzip"}
for name, data in cases.items():
    try:
        gzip.decompress(data)
    except Exception as error:
        print(f"{name}: {type(error).__name__}, an OSError: {isinstance(error, OSError)}")
