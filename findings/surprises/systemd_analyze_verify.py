"""`systemd-analyze verify` ends with exit status 0 for an unknown key and a bad value.

It only says so on stderr, so the tests of the units demand that this is empty (tests/systemd/test_units.py).
Needs systemd-analyze on PATH.
"""

import subprocess
import tempfile
from pathlib import Path

UNIT = """[Service]
ExecStart=/bin/true
WatchdogSecs=15s
LimitNOFILE=many
"""

with tempfile.TemporaryDirectory() as name:
    unit = Path(name) / "surprise.service"
    unit.write_text(UNIT)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    print("exit status:", done.returncode)
    print(done.stderr.strip())
