"""The compiled scan as a part to build, to install and to trust with memory."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ingestd
from ingestd.sources import query
from tests.commands import fuzz_scan
from tests.commands.fuzz_scan import Scan
from tests.support import compiled

ROOT = Path(ingestd.__file__).parents[1]
UA = b"Mozilla%2F5.0%20%28Linux%3B%20Android%2013%29+%22wv%22"
QUERY = b"ip=10.0.0.1&ua=" + UA + b"&imei=__IMEI__&%E5%90%8D=%5B%22%E5%80%BC%22%5D&q%22=1"
# An allocation is tried with each number until all of a call have failed once.
ALLOCATIONS = 60
# Blocks and memory the interpreter may come to hold by itself in a million calls.
SLACK_BLOCKS = 100
SLACK_KIB = 2048


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return fuzz_scan.built_or_skip(tmp_path_factory.mktemp("scan"))


def test_the_sanitizers_find_nothing_in_a_moment(native: Scan) -> None:
    assert compiled.fuzz_for_a_moment(fuzz_scan.__name__, seconds=2).count("all as by the general path") == 2


def test_a_failed_allocation_is_a_memory_error_and_nothing_else(native: Scan) -> None:
    memory = pytest.importorskip("_testcapi", reason="no _testcapi, so failing allocations are NOT tested")
    long, wanted = QUERY + b"&long=" + b"x" * 8192, (b"ip", b"ua", b"long")
    results = []
    for number in range(1, ALLOCATIONS):
        memory.set_nomemory(number, number + 1)
        try:
            results.append(native(long, wanted))
        except MemoryError:
            results.append(None)
        finally:
            memory.remove_mem_hooks()
    assert results.count(None) >= 6  # the buffer, the JSON, three values, a candidate
    assert results.count(native(long, wanted)) == len(results) - results.count(None)


def test_a_million_calls_leave_no_memory_behind(native: Scan) -> None:
    odd, long = b"a=1&b=%zz", b"a=%22&b=" + b"x" * 4000
    calls = [(raw, wanted) for raw in (QUERY, odd, long) for wanted in ((), (b"ip", b"ua", b"a", b"none"))]

    def times(number: int) -> tuple[int, int]:
        for _ in range(number):
            for raw, wanted in calls:
                native(raw, wanted)
        gc.collect()
        return sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    blocks_before, kib_before = times(2000)
    blocks, kib = times(1_000_000 // len(calls))
    assert abs(blocks - blocks_before) < SLACK_BLOCKS
    assert kib - kib_before < SLACK_KIB


def test_without_the_extension_the_general_path_does_it() -> None:
    program = """if True:
        import sys
        sys.modules["ingestd.sources._scan"] = None  # as if it were not there
        from ingestd.sources import query
        assert not query.NATIVE and query.scan(b"a=%41&b=__X__", (b"a",)) is None
        print(query.decode(b"a=%41&b=__X__"))
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    whole = query.Decoded({"a": "A", "b": "__X__"}, b'{"a":"A","b":"__X__"}', (), False)
    assert ran.stdout == f"{whole}\n"


def test_native_says_which_one_runs() -> None:
    assert (query.scan.__module__ == "ingestd.sources._scan") == query.NATIVE


@pytest.mark.timeout(900)  # mypyc, on whatever is left of the machine
@pytest.mark.parametrize(
    ("compiler", "editable"), [(True, False), (False, True)], ids=["installed, compiler", "editable, none"]
)
def test_it_installs_with_a_compiler_and_without(tmp_path: Path, compiler: bool, editable: bool) -> None:
    """These tests themselves run in what is editable, with a compiler and mypyc, which takes a minute."""
    if compiler:
        fuzz_scan.built_or_skip(tmp_path)
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(
        ROOT / "ingestd", source / "ingestd", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "README.md").touch()
    environment = os.environ | {"INGESTD_MYPYC": "no"} | ({} if compiler else {"CC": "/bin/false"})
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    where = ["--editable", str(source)] if editable else [str(source)]
    pip = subprocess.run([*install, *where], env=environment, capture_output=True, text=True, check=False)
    if pip.returncode and "Could not find a version that satisfies the requirement setuptools" in pip.stderr:
        pytest.skip(f"no package index here, so installing is NOT tested: {pip.stderr[-300:]}")
    assert pip.returncode == 0, pip.stderr
    # What was just installed goes before what else is; an editable one is found by a .pth file in the target.
    program = (
        f"import site; site.addsitedir({str(target)!r}); site.addsitedir({sysconfig.get_path('purelib')!r});"
        "from ingestd.sources import query as q; print(q.__file__, q.NATIVE, q.decode(b'a=%41').params);"
        "from ingestd.http import connection; print(connection.__file__.rpartition('.')[2])"
    )
    python = [sys.executable, "-I", "-S", "-c", program]
    ran = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, check=True)
    home = source if editable else target
    assert ran.stdout == f"{home}/ingestd/sources/query.py {compiler} {{'a': 'A'}}\npy\n"
