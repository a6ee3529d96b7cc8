"""ingestd's own rows of the comparison."""

from __future__ import annotations

from pathlib import Path

from bench.ingestd_rows import Ingestd


def test_this_checkout_takes_part_and_a_folder_that_is_none_does_not(tmp_path: Path) -> None:
    """Where the code is arranged anew the row must not silently be left out."""
    assert Ingestd("queued", "answering at once").absent() is None
    assert "is no checkout" in str(Ingestd("queued", "answering at once", tmp_path).absent())
