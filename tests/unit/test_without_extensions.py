"""Where there was no compiler each compiled module has its equal in Python, and that is what runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ingestd.cli.version import COMPILED
from tests.support.daemon import environment

EQUALS = {
    "ingestd.kafka._murmur2": "from ingestd.kafka import murmur2 as m; "
    "assert m.murmur2 is m.murmur2_in_python",
    "ingestd._tally": "from ingestd import tally as m; assert m.count_lines is m.count_lines_in_python",
    "ingestd.kafka._packer": "from ingestd.kafka import packer as m; "
    "assert type(m.packer(1000, with_ids=True)) is m.PackerInPython",
    "ingestd.sources._line": "from ingestd.config.source import Source; "
    "from ingestd.sources.encoder import maker; "
    "one = Source(name='demo', path='/c/demo'); "
    "assert maker(one, 'n', b'', keep_raw=False) is None",
    "ingestd.sources._scan": "from ingestd.sources import scan as m; assert m.scan is m.scan_in_python",
}


@pytest.mark.parametrize("name", [name for name in COMPILED if name != "ingestd._hot__mypyc"])
def test_a_module_that_is_not_compiled_runs_in_python(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; {EQUALS[name]}"
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
