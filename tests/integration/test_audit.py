"""`ingestd audit` over what a real daemon wrote while it was killed again and again, with compression on."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from ingestd.file.names import MANIFEST, manifest_path
from tests.support.checks import MIN_ACKS, verdict
from tests.support.daemon import Daemon, environment, ingestd, lines
from tests.support.load import Load
from tests.support.oracle import Ledger
from tests.support.waiting import FAR

KILLS = 8


def audit(daemon: Daemon, *more: str) -> tuple[int, dict[str, Any]]:
    """The command as users run it: exit status and its JSON."""
    done = subprocess.run(
        ingestd("audit", "-c", str(daemon.config), "--json", *more),
        env=environment(), capture_output=True, timeout=FAR, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr.decode()
    return done.returncode, orjson.loads(done.stdout)


@pytest.mark.parametrize("compress", ["zstd", "none"])
def test_a_run_with_kills_is_all_there_and_each_damage_to_it_is_named(compress: str, place: Path) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    dice = random.Random(seed)
    ledger = Ledger()
    with Daemon(place, file={"compress": compress, "rotate_bytes": "64KiB"}) as daemon:
        with Load(daemon.socket, ledger, connections=8):
            for _ in range(KILLS):
                ledger.wait_for_acks(dice.randint(20, 400))
                daemon.kill()
                daemon.start()
            status, tree = audit(daemon)  # while it runs and files come and go
            assert (status, tree["findings"]) == (0, [])
            ledger.wait_for_acks(100)
        assert daemon.stop() == 0
        result = verdict(ledger, daemon)
        assert result.acked > MIN_ACKS
        status, tree = audit(daemon)
        assert (status, tree["findings"], tree["notes"]) == (0, [], [])
        assert tree["events"] == result.events
        assert tree["files"] == len(daemon.files()) > 2 * KILLS
        assert not list(daemon.directory.glob("*.tmp"))
        damage(daemon)


def damage(daemon: Daemon) -> None:
    """Damage five files, each in its way, and see each named."""
    one, two, three, four, five = daemon.files()[1:6]
    written = list(lines(one))
    rewrite(one, written[:-1])
    rewrite(two, [*lines(two), next(lines(two))])
    three.unlink()
    data = bytearray(b"".join(line + b"\n" for line in lines(four)))
    data[len(data) // 2] ^= 1
    rewrite(four, bytes(data).split(b"\n")[:-1])
    five.unlink()
    manifest_path(five).unlink()
    status, tree = audit(daemon)
    assert status == 1
    kinds: dict[str, set[str]] = {}
    for finding in tree["findings"]:
        kinds.setdefault(finding["where"], set()).add(finding["kind"])
    name = [manifest_path(path).name.removesuffix(MANIFEST) for path in (one, two, three, four, five)]
    assert kinds.pop(name[3]) & {"altered", "missing"}
    assert kinds == {name[0]: {"missing"}, name[1]: {"repeated"}, name[2]: {"missing"}, name[4]: {"chain"}}


def rewrite(path: Path, content: list[bytes]) -> None:
    """Put a plain file in a finished one's place."""
    path.unlink()
    plain = manifest_path(path).with_suffix("")
    plain.write_bytes(b"".join(line + b"\n" for line in content))
