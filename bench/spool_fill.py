"""Fill a spool as the daemon would, where that is installed: ``python -m bench.spool_fill FOLDER BYTES``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench import mix
from bench.paths import CALLBACKS
from bench.stages import Workbench
from ingestd.spool.envelope import PAYLOAD_BYTES
from ingestd.spool.spool import Spool

APPEND_BYTES = 4 << 20


def fill(folder: Path, size: int) -> int:
    """Append the example callbacks' events until the spool has `size` bytes; return how many it has."""
    with tempfile.TemporaryDirectory() as keys:
        lines = b"".join(Workbench(mix.build(CALLBACKS), Path(keys)).lines)
    payload = lines[: lines.rindex(b"\n", 0, PAYLOAD_BYTES) + 1]
    payloads = [payload] * (APPEND_BYTES // len(payload))
    spool = Spool(folder, max_bytes=size + (1 << 30), segment_bytes=64 << 20)
    spool.open()
    try:
        while spool.backlog_bytes < size:
            spool.append(payloads)
        return spool.backlog_bytes
    finally:
        spool.close()


if __name__ == "__main__":
    print(fill(Path(sys.argv[1]), int(sys.argv[2])))
