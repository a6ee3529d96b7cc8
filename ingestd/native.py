"""What is compiled where a compiler was at hand, and its equal in Python where not."""

from __future__ import annotations

from aiokafka.partitioner import murmur2

__all__ = ["murmur2"]
