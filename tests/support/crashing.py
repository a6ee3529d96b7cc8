"""A crash at any step: work is done in a child process that ends, as by kill -9, before its n-th system call.

The kernel drops the child's locks and descriptors, nothing of its Python runs on: as in a real crash.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any

# What changes the disk.
STEPS = (
    "open", "write", "fsync", "fdatasync", "ftruncate", "fchmod", "link", "unlink", "rename", "replace",
    "utime", "posix_fallocate",
)  # fmt: skip
CRASHED, DONE, FAILED = 9, 0, 1


def crash_before(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child that crashes before its `step`-th change of the disk (from 0).

    Returns whether it crashed; False says that the work has fewer steps and was done whole. A write that
    is not reached leaves the first half of its data, as a crash may.
    """
    child = os.fork()
    if child == 0:
        try:
            _count_down(step)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(FAILED)
        os._exit(DONE)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (CRASHED, DONE), f"the work itself failed at step {step}"
    return code == CRASHED


def _count_down(step: int) -> None:
    left = [step]

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if left[0] == 0:
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os._exit(CRASHED)
            left[0] -= 1
            return real(*arguments, **named)

        return call

    for name in STEPS:
        setattr(os, name, counted(name, getattr(os, name)))
