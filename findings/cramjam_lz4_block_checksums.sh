#!/usr/bin/env bash
# cramjam's LZ4 frames carry a checksum for each block, whatever its options say, and no option turns that off.
#
# Versions: cramjam 2.14.0, and aiokafka 0.14.0, which compresses Kafka batches with it. Python 3.11.7, Linux x86-64.
# Shown on 2026-12-01; exit status 1 if it is different.
#
# `Compressor(level, content_checksum, block_linked)` has an option for the checksum of the whole content. Turned off,
# it clears that bit of the frame descriptor (the byte FLG of the LZ4 frame format) and leaves bit 4, "block checksum",
# set: four bytes more for each block of 64 KiB. aiokafka turns the content checksum off, and each of its lz4 batches
# has block checksums all the same. To know how a frame is protected, read FLG and not the options it was written with.
#
# Output seen:
#   cramjam 2.14.0, aiokafka 0.14.0
#   defaults                                      FLG 0x54: block checksum 1, content checksum 1
#   content_checksum=False                        FLG 0x50: block checksum 1, content checksum 0
#   content_checksum=False, block_linked=False    FLG 0x70: block checksum 1, content checksum 0
#   aiokafka.codec.lz4_encode                     FLG 0x70: block checksum 1, content checksum 0
#   262144 bytes that do not compress: 4 blocks of 65540 + 4 bytes of checksum each
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check cramjam==2.14.0 aiokafka==0.14.0
"$place/venv/bin/python" - <<'PYTHON'
import random
import sys

import aiokafka
import cramjam
from aiokafka.codec import lz4_encode

CONTENT = random.Random(1).randbytes(256 << 10)


def frame(**options):
    compressor = cramjam.lz4.Compressor(level=1, **options)
    compressor.compress(CONTENT)
    return bytes(compressor.finish())


print(f"cramjam {cramjam.__version__}, aiokafka {aiokafka.__version__}")
frames = {
    "defaults": frame(),
    "content_checksum=False": frame(content_checksum=False),
    "content_checksum=False, block_linked=False": frame(content_checksum=False, block_linked=False),
    "aiokafka.codec.lz4_encode": bytes(lz4_encode(CONTENT)),
}
same = True
for name, made in frames.items():
    flags = made[4]
    block, content = flags >> 4 & 1, flags >> 2 & 1
    print(f"{name:45} FLG {flags:#04x}: block checksum {block}, content checksum {content}")
    same &= block == 1 and content == (name == "defaults")
made = frames["aiokafka.codec.lz4_encode"]
head, end_mark = 7, 4  # magic, FLG, BD, header checksum; four zero bytes
blocks, rest = divmod(len(made) - head - end_mark, 4 + (64 << 10) + 4)
print(f"{len(CONTENT)} bytes that do not compress: {blocks} blocks of {4 + (64 << 10)} + 4 bytes of checksum each")
sys.exit(0 if same and (blocks, rest) == (4, 0) else 1)
PYTHON
