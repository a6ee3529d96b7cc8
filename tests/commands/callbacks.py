"""Prints what becomes of callbacks behind nginx: the reply, the event, the flags. A command, not a test:

    python -m tests.commands.callbacks [--only macros]

Each profile's example, signatures by public keys, macros, fillers, the states of a conversion, replies with a
value of the request: the rows of tests/support/callback_rows. nginx and the daemon are as shipped.
Exit status 1: a row is not as it must be.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from ingestd import config
from ingestd.cli.table import print_table
from tests.support import callback_rows
from tests.support.daemon import Daemon
from tests.support.front import Front
from tests.support.nginx import Nginx
from tests.support.place import open_place

WIDTH = 44


def shown(event: dict[str, Any]) -> tuple[str, str, str, str]:
    """An event's time, dup_key, signature and flags."""
    if not event:
        return "-", "-", "-", "-"
    at = event["event_at"]
    time = "-" if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return time, event["dup_key"][:8], event["signature"], " ".join(event["flags"]) or "-"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", help="rows of one group")
    only = parser.parse_args().only
    failed = 0
    with open_place() as place:
        sources = callback_rows.sources(place)
        with (
            Daemon(place, sources=sources, ingest=callback_rows.INGEST) as daemon,
            Nginx(place, [daemon.socket]) as nginx,
        ):
            front = Front(daemon, nginx)
            seen: dict[tuple[str, str], str] = {}
            table = [
                ("GROUP", "CALLBACK", "REPLY", "EVENT_AT", "DUP_KEY", "SIGNATURE", "FLAGS", "AS IT MUST BE")
            ]
            for row in callback_rows.rows(config.load(daemon.config, {})):
                if only in (None, row.group):
                    reply, event, wrong = callback_rows.judge(front, row, seen)
                    failed += bool(wrong)
                    cells = (row.group, row.what[:WIDTH], reply[:WIDTH], *shown(event))
                    table.append((*cells, "; ".join(wrong) or "yes"))
    print_table(table)
    print(f"{len(table) - 1} callbacks, {failed} not as they must be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
