"""What a test cannot do without: it is skipped, with the reason in capitals, where that is missing."""

from __future__ import annotations

import os

import pytest

from tests.support.nginx import binary
from tests.support.strace import why_not


def need_nginx() -> None:
    """Skip where there is no nginx."""
    if binary() is None:
        pytest.skip("NO NGINX: install nginx-light, without it nothing is tested as users run it")


def need_root() -> None:
    """Skip where no file system can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("NO ROOT: a full or read-only disk needs a mount of its own")


def need_strace() -> None:
    """Skip where no fault can be injected."""
    if reason := why_not():
        pytest.skip(f"NO FAULT INJECTION: {reason}")
