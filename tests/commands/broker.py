"""A real broker until it is interrupted: ``python -m tests.commands.broker`` prints its address."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.install import KafkaUnavailableError


def main() -> int:
    """Run it; 1 where none can be had."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell has its background commands ignore the former
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, contextlib.suppress(KeyboardInterrupt):
        try:
            with KafkaBroker(Path(folder)) as broker:
                print(broker.bootstrap, flush=True)
                signal.pause()
        except KafkaUnavailableError as error:
            print(f"no broker: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
