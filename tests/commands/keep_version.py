"""Makes the fixtures of this version: everything it leaves on disk that a later one must read.

    python -m tests.commands.keep_version     # once for each version; then commit tests/upgrade/v<version>

The daemon itself writes them: finished files in each compression with manifests and chain, one a kill left
open (with a torn line at its end), a spool of which Kafka has confirmed a part, its progress and owner, dead
letters, a spill log replayed half, and the checkpoints of both replays. Needs root: it has its own host name.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ingestd import __version__
from ingestd.cli.replay_checkpoint import Checkpoints
from ingestd.kafka.dead_letter_file import DeadLetterFile
from ingestd.kafka.records import Record
from ingestd.kafka.state import State
from tests.support.daemon import environment, ingestd, toml
from tests.support.kafka.daemon import KafkaDaemon
from tests.support.kafka.mock import MockCluster
from tests.support.oracle import build
from tests.support.place import open_place
from tests.support.spilled import line
from tests.support.waiting import until
from tests.support.wire import ask

HERE = Path(__file__).parents[1] / "upgrade"
PLACE = "@place@"  # stands in checkpoints for the directory they were written in
BATCH = 15
SPILLED = 6
# Nothing of the machine it was made on.
BEFORE = ("unshare", "--uts", "sh", "-c", 'hostname fixture && exec "$@"', "sh")
SOURCES = ({"name": "demo", "path": "/c/demo"},)


class Maker:
    """Writes into `place` what becomes the fixture."""

    def __init__(self, place: Path, mock: MockCluster) -> None:
        self.place = place
        self.mock = mock
        mock.create_topic("clicks", 2)
        self.daemon = KafkaDaemon(
            place, mock.bootstrap, sources=SOURCES, file={"directory": str(place / "clicks")}
        )
        self.sent = 0

    def send(self) -> None:
        """The next requests of the oracle's, each answered with success."""
        for number in range(self.sent, self.sent + BATCH):
            answer = ask(self.daemon.socket, build(number))
            assert answer.status == 200, answer
        self.sent += BATCH

    def files_and_spool(self) -> int:
        """Returns how many requests Kafka has confirmed; the rest is in the spool."""
        for compress in ("gzip", "zstd", "none"):
            self.daemon.configure(file={"compress": compress})
            self.daemon.start(BEFORE)
            self.send()
            self.daemon.drained()
            assert self.daemon.stop() == 0
        self.daemon.start(BEFORE)
        self.send()
        self.daemon.drained()  # so the checkpoint lies in the middle of a segment
        confirmed = self.sent
        self.mock.broker_down()
        self.send()
        finished = self.daemon.metrics()["files_finished_total"]
        self.daemon.signal(signal.SIGUSR1)
        until(lambda: self.daemon.metrics()["files_finished_total"] > finished, "a rotation")
        self.send()
        self.daemon.kill()
        (left,) = self.daemon.directory.glob("*.open")
        with left.open("ab") as file:
            file.write(b'{"v":1,"id":"018f2b2e-torn')
        return confirmed

    def beside(self) -> None:
        """The files of the other parts."""
        State(self.place / "spool", "0").write_owner("ingestd-fixture-0")
        plain = sorted(self.daemon.directory.glob("*.ndjson"))[0]
        event = plain.read_bytes().splitlines()[0]
        record = Record("demo", "clicks", b"k", event, 1, [])
        DeadLetterFile(self.place / "dead", "0").write([record], "MESSAGE_TOO_LARGE")
        Checkpoints(self.place / "replay.checkpoint").save(str(plain.absolute()), 4)

    def spill(self) -> None:
        """A log of which one half is replayed."""
        folder = self.place / "spill"
        folder.mkdir()
        log, config = folder / "ingestd.spill", folder / "c.toml"
        spilled = [line(b"/c/demo/app42?n=%d&where=spill" % number) + b"\n" for number in range(SPILLED)]
        log.write_bytes(b"".join(spilled[: SPILLED // 2]))
        config.write_text(toml({"file": {"directory": str(folder / "clicks")}}, SOURCES))
        command = ingestd("replay", "-c", str(config), "--from", "nginx-spill")
        command += ["--checkpoint", str(folder / "spill.checkpoint"), str(log)]
        subprocess.run([*BEFORE, *command], check=True, env=environment(), cwd=folder)
        log.write_bytes(b"".join(spilled))
        config.unlink()


def main() -> int:
    """The command."""
    target = HERE / f"v{__version__}"
    if target.exists():
        print(f"{target} is there already: a version's fixtures are made once")
        return 1
    with open_place() as place, MockCluster() as mock:
        maker = Maker(place, mock)
        confirmed = maker.files_and_spool()
        maker.beside()
        maker.spill()
        for name in ("clicks", "spool", "dead", "spill"):
            shutil.copytree(place / name, target / name)
        text = (place / "replay.checkpoint").read_text().replace(str(place), PLACE)
        (target / "replay.checkpoint").write_text(text)
        about = {"version": __version__, "requests": maker.sent, "confirmed": confirmed, "spilled": SPILLED}
        (target / "about.json").write_text(json.dumps(about, indent=2) + "\n")
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
