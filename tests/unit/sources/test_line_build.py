"""The compiled lines as a part to trust with memory."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from xxhash import xxh3_128_hexdigest

from ingestd.sources import macros, null_values
from tests.commands import fuzz_line
from tests.support import compiled

CONFIGURATION: dict[str, Any] = {
    "source": b',"source":"x","route":', "kind": b',"type":"click","method":', "node": b',"node":"test/0"',
    "prefix": b"x\0click\0", "dedup": ((b"a", b"b"), (b"oaid",)), "volatiles": (b"ts=",),
    "is_macro": macros.is_macro, "null_like": frozenset({"null"}),
    "is_null": null_values.is_null, "digest": xxh3_128_hexdigest, "clock": b"ts", "unit": "auto",
    "stale_after": 0, "future_after": 0, "keep_raw": True,
}  # fmt: skip
QUERIES = {
    "usual": b"a=1&ip=10.0.0.1&ua=Mozilla%2F5.0+%22wv%22&imei=__IMEI__&ts=1718000000",
    "by the whole query": b"ts=1718000000000&a=0&b=__B__",
    "macros that Python knows": b"a={X}&a=2&b=[TS]&c=%25x%25&d=[1,2]",
    "a filler": b"a=%28NULL%29&oaid=%E3%80%80",
    "escaped click ids": b"a=%22&b=%5C&a%22=__X__",
    "repeated": b"a=1&x=1&x=__X__&x=3&%22=1&%22=2",
    "long": b"b=%22&a=" + b"x" * 9000,
    "odd": b"a=1&b=%zz",
    "a time for Python": b"ts=+1718000000&a=1",
    "a list for Python": b"a=1&b=1&b=2",
}
# An allocation is tried with each number until all of a call have failed once.
ALLOCATIONS = 60
# Blocks and memory the interpreter may come to hold by itself in a million calls.
SLACK_BLOCKS = 100
SLACK_KIB = 2048


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled.built_or_skip(fuzz_line.SOURCE, tmp_path_factory.mktemp("line"))


def line_of(maker: Any, query: bytes, count: Callable[[str], object] = str, now: Any = 1 << 60) -> Any:
    return maker.line(b"GET", "/c/x", "x", query, "10.0.0.1", b"f", b"agent", now, "none", count)


@pytest.mark.timeout(900)  # it compiles twice, on whatever is left of the machine
def test_the_sanitizers_find_nothing_in_a_moment() -> None:
    """With SSE2 and memory from the stack, without and from the heap; all four by the command."""
    assert compiled.fuzz_for_a_moment(fuzz_line.__name__, seconds=4).count("all as in Python") == 2


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_failed_allocation_is_a_memory_error_and_nothing_else(module: ModuleType, query: bytes) -> None:
    """Each allocation of a call fails once: after that the call works, and nothing is left half done."""
    memory = pytest.importorskip("_testcapi", reason="no _testcapi, so failing allocations are NOT tested")
    maker = module.LineMaker(**CONFIGURATION)
    expected = without_id(line_of(maker, query))
    failed = 0
    for number in range(1, ALLOCATIONS):
        memory.set_nomemory(number, number + 1)
        try:
            line = line_of(maker, query)
        except MemoryError:
            failed += 1
        else:
            memory.remove_mem_hooks()
            assert without_id(line) == expected
        finally:
            memory.remove_mem_hooks()
    assert failed < ALLOCATIONS - 2  # the last ones were more than a call needs
    assert failed >= (expected is not None)


def test_a_maker_that_cannot_be_made_is_a_memory_error_and_nothing_else(module: ModuleType) -> None:
    memory = pytest.importorskip("_testcapi", reason="no _testcapi, so failing allocations are NOT tested")
    failed = 0
    for number in range(1, ALLOCATIONS):
        memory.set_nomemory(number, number + 1)
        try:
            module.LineMaker(**CONFIGURATION)
        except MemoryError:
            failed += 1
        finally:
            memory.remove_mem_hooks()
    assert 1 <= failed < ALLOCATIONS - 2


def test_a_million_calls_leave_no_memory_behind(module: ModuleType) -> None:
    """Good ones, those left to the general path, and those that end in an exception."""
    maker = module.LineMaker(**CONFIGURATION)
    broken = [
        module.LineMaker(**CONFIGURATION | {"digest": digest}) for digest in (str, len, lambda _: 1 / 0)
    ]

    def times(number: int) -> tuple[int, int]:
        for _ in range(number):
            for query in QUERIES.values():
                line_of(maker, query)
        for _ in range(number // 10):
            for bad in broken:
                fails(lambda bad=bad: line_of(bad, b"a=1"))  # type: ignore[misc]
            fails(lambda: line_of(maker, b"a=__X__", count=lambda _: 1 / 0))
            fails(lambda: line_of(maker, b"", now=1 << 70))
            fails(lambda: maker.line(b""))
            fails(lambda: module.LineMaker(**CONFIGURATION | {"dedup": ((),)}))
            module.LineMaker(**CONFIGURATION)
        gc.collect()
        return sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    blocks_before, kib_before = times(2000)
    held = [sys.getrefcount(value) for value in (None, *CONFIGURATION.values())]
    blocks, kib = times(1_000_000 // len(QUERIES))
    assert abs(blocks - blocks_before) < SLACK_BLOCKS
    assert kib - kib_before < SLACK_KIB
    now_held = [sys.getrefcount(value) for value in (None, *CONFIGURATION.values())]
    assert all(abs(now - before) < SLACK_BLOCKS for now, before in zip(now_held, held, strict=True))


@pytest.mark.parametrize("changed", [
    {"dedup": ((),)}, {"dedup": (b"a",)}, {"dedup": (("a",),)}, {"volatiles": ("a=",)}, {"clock": "ts"},
    {"source": "x"}, {"null_like": {"0"}}, {"stale_after": 1 << 70}, {"unit": None}, {"other": 1},
])  # fmt: skip
def test_a_maker_takes_what_it_says_and_nothing_else(module: ModuleType, changed: dict[str, Any]) -> None:
    with pytest.raises((TypeError, OverflowError)):
        module.LineMaker(**CONFIGURATION | changed)


@pytest.mark.parametrize("missing", CONFIGURATION)
def test_a_maker_needs_all_it_says(module: ModuleType, missing: str) -> None:
    with pytest.raises(TypeError):
        module.LineMaker(**{name: value for name, value in CONFIGURATION.items() if name != missing})


@pytest.mark.parametrize("place", range(9))
def test_a_line_is_made_of_what_it_says_and_nothing_else(module: ModuleType, place: int) -> None:
    maker = module.LineMaker(**CONFIGURATION)
    arguments: list[object] = [b"GET", "/c/x", "x", b"", "10.0.0.1", b"", b"", 1 << 60, "none", str]
    arguments[place] = 1.5
    with pytest.raises(TypeError):
        maker.line(*arguments)


@pytest.mark.parametrize("digest", [str, len, lambda _: "é" * 32, lambda _: "0" * 31])
def test_a_digest_that_is_none_is_an_error(module: ModuleType, digest: Callable[[bytes], object]) -> None:
    with pytest.raises(TypeError, match="32 hexadecimal digits"):
        line_of(module.LineMaker(**CONFIGURATION | {"digest": digest}), b"a=1")


def test_an_error_while_macros_are_counted_is_passed_on(module: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError):
        line_of(module.LineMaker(**CONFIGURATION), b"a=__X__", count=lambda _: 1 / 0)


@pytest.mark.parametrize("changed", [
    {"is_macro": lambda _: 1 / 0}, {"is_null": lambda _: 1 / 0}, {"is_macro": None}, {"is_null": "x"},
])  # fmt: skip
def test_an_error_of_a_predicate_is_passed_on(module: ModuleType, changed: dict[str, Any]) -> None:
    with pytest.raises((ZeroDivisionError, TypeError)):
        line_of(module.LineMaker(**CONFIGURATION | changed), b"x={X}&a=%E3%80%80")


def without_id(line: bytes | None) -> tuple[bytes, bytes] | None:
    return None if line is None else (line[:13], line[49:])


def fails(call: Callable[[], object]) -> None:
    try:
        call()
    except (TypeError, OverflowError, ZeroDivisionError):
        return
    raise AssertionError("it did not fail")
