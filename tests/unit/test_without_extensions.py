"""Without a compiler the general path in Python runs in the place of each compiled module."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ingestd.cli.version import COMPILED
from tests.support.daemon import environment

EQUALS = {
    "ingestd._tally": "from ingestd import tally as m; assert m.count_lines is m.count_lines_in_python",
    "ingestd.http._head": "from ingestd.http import parser as m; assert m.recognize is None",
    "ingestd.kafka._packer": "from ingestd.kafka import packer as m; "
    "assert m.packer(1000, with_ids=True) is None",
    "ingestd.sources._line": "from ingestd.config.source import SourceConfig; "
    "from ingestd.sources.encoder import maker; "
    "one = SourceConfig(name='demo', path='/c/demo'); "
    "assert maker(one, 'n', b'', keep_raw=False) is None",
    "ingestd.sources._scan": "from ingestd.sources import query as m; "
    "assert m.scan is m.declines and m.decode(b'a=%41').params == {'a': 'A'}",
}


@pytest.mark.parametrize("name", [name for name in COMPILED if name != "ingestd._hot__mypyc"])
def test_a_module_that_is_not_compiled_runs_in_python(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; {EQUALS[name]}"
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
