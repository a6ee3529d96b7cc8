"""The thread for blocking work: one piece at a time, awaited from the loop, never in the way of an exit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from ingestd.system.io_thread import IoThread
from tests.support.loop import turns
from tests.support.waiting import FAR


async def test_work_is_done_in_another_thread_and_its_result_comes_back() -> None:
    worker = IoThread("test")
    names = await worker.call(lambda: threading.current_thread().name)
    assert names == "test"
    assert await worker.call(divmod, 7, 2) == (3, 1)
    worker.close()


async def test_what_the_work_raises_is_raised_where_it_is_awaited() -> None:
    worker = IoThread("test")
    for _ in range(3):
        with pytest.raises(OSError, match="No such"):
            await worker.call(open, "/no/such/file")
    assert await worker.call(int, "7") == 7
    worker.close()


async def test_calls_come_one_after_the_other_in_their_order() -> None:
    order: list[int] = []
    busy = threading.Lock()

    def work(number: int) -> None:
        assert busy.acquire(blocking=False), "two at once"
        order.append(number)
        busy.release()

    worker = IoThread("test")
    await asyncio.gather(*(worker.call(work, number) for number in range(100)))
    worker.close()
    assert order == list(range(100))


async def test_the_loop_turns_while_work_is_done() -> None:
    worker = IoThread("test")
    release = threading.Event()
    call = asyncio.create_task(asyncio.wait_for(worker.call(release.wait), FAR))
    await turns(100)
    assert not call.done()
    release.set()
    assert await call is True
    worker.close()


async def test_who_is_cancelled_stops_waiting_and_the_work_goes_on_to_its_end() -> None:
    worker = IoThread("test")
    release, done = threading.Event(), threading.Event()

    def work() -> None:
        release.wait()
        done.set()

    call = asyncio.create_task(worker.call(work))
    await turns()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    later = asyncio.create_task(worker.call(done.is_set))
    await turns(20)
    assert not later.done()
    release.set()
    assert await later is True
    worker.close()


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    text = (
        "import asyncio, threading\n"
        "from ingestd.system.io_thread import IoThread\n"
        "begun = threading.Event()\n"
        "def hang():\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "async def main():\n"
        "    worker = IoThread('test')\n"
        "    call = asyncio.ensure_future(worker.call(hang))\n"
        "    while not begun.is_set():\n"
        "        await asyncio.sleep(0)\n"
        "    call.cancel()\n"
        "    worker.close()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", text], timeout=FAR, check=True)


async def test_what_nobody_waits_for_any_more_goes_nowhere_and_is_in_nobody_s_way() -> None:
    """A deadline gave up on it; the work itself is done all the same."""

    worker = IoThread("test")
    begun, release = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        release.wait(FAR)
        return "late"

    call = asyncio.ensure_future(worker.call(work))
    while not begun.is_set():
        await asyncio.sleep(0)
    call.cancel()
    await turns()
    release.set()
    assert await worker.call(int, "7") == 7
    assert call.cancelled()
    worker.close()


async def test_a_closed_one_leaves_neither_its_thread_nor_the_loop_anything_to_do() -> None:
    def closed() -> bool:
        return any(thread.name == "closed" for thread in threading.enumerate())

    worker = IoThread("closed")
    await worker.call(int, "7")
    worker.close()
    ends = time.monotonic() + 10
    while closed() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not closed()
    os.eventfd_write(worker._done, 1)
    await turns(20)
    assert os.eventfd_read(worker._done) == 1, "the loop does not look at it any more"


async def test_the_loop_is_told_of_each_piece_of_work_once() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    worker = IoThread("test")
    await worker.call(int, "7")
    await turns(20)
    assert told == [], "nobody is waiting"
    worker.close()


async def test_its_descriptors_hold_up_no_loop_and_go_to_no_other_process() -> None:
    worker = IoThread("test")
    assert not os.get_blocking(worker._done)
    assert not any(os.get_inheritable(fd) for fd in (worker._go, worker._done))
    worker.close()
