"""Log shippers that take HTTP, where their program is on PATH.

None of them takes a GET with a query as an event, so nginx turns each request into a POST with a small JSON
object around the request line. They decode no parameter and keep no body: they do less than ingestd does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.contenders import ROTATE_BYTES, Contender, Place, Stored
from bench.procs import Child

_WRAP = """\
      rewrite ^ /clicks? break;
      proxy_method POST;
      proxy_set_header Content-Type application/json;
      proxy_set_body '{"request":"$request","client_ip":"$remote_addr","user_agent":"$http_user_agent"}';
"""


class Peer(Contender):
    """A shipper listening on loopback TCP, configured by one file."""

    def __init__(self, name: str, file: str, config: str, flags: tuple[str, ...]) -> None:
        self.name = name
        self.what = f"{name}'s HTTP input to a file; nginx wraps the request line, no parameter is decoded"
        self._file = file
        self._config = config
        self._flags = flags

    def absent(self) -> str | None:
        return None if shutil.which(self.name) else f"{self.name} is not on PATH"

    def command(self, place: Place) -> list[str]:
        place.out.mkdir()
        state = place.work / "state"
        state.mkdir()
        text = self._config.replace("@OUT@", str(place.out)).replace("@STATE@", str(state))
        text = text.replace("@PORT@", str(place.port)).replace("@ROTATE_KB@", str(ROTATE_BYTES >> 10))
        config = place.work / self._file
        config.write_text(text, encoding="utf-8")
        return [
            str(shutil.which(self.name)),
            *(flag.replace("@CONFIG@", str(config)) for flag in self._flags),
        ]

    def start(self, place: Place) -> Child:
        child = Child(self.name, self.command(place), place.work / f"{self.name}.log")
        child.wait_for(("127.0.0.1", place.port))
        return child

    def upstream(self, place: Place) -> str:
        return f"127.0.0.1:{place.port}"

    def front_extra(self) -> str:
        return _WRAP

    def stored(self, place: Place, known: set[str]) -> Stored:
        """Count the lines; nothing was decoded that could be compared."""
        files = [file for file in place.out.rglob("*") if file.is_file()]
        return Stored(sum(_lines(file) for file in files), sum(file.stat().st_size for file in files))


def _lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


_FLUENT_BIT = """\
service: {flush: 0.2, grace: 5, log_level: error}
pipeline:
  inputs:
    - {name: http, listen: 127.0.0.1, port: @PORT@, successful_response_code: 200}
  outputs:
    - {name: file, match: '*', path: '@OUT@', file: clicks.ndjson, format: plain}
"""
_VECTOR = """\
data_dir = "@STATE@"
[sources.clicks]
type = "http_server"
address = "127.0.0.1:@PORT@"
path = "/clicks"
response_code = 200
decoding.codec = "json"
[sinks.file]
type = "file"
inputs = ["clicks"]
path = "@OUT@/clicks.ndjson"
encoding.codec = "json"
"""
_FILEBEAT = """\
filebeat.inputs:
  - {type: http_endpoint, listen_address: 127.0.0.1, listen_port: @PORT@, url: /clicks, response_code: 200}
output.file: {path: '@OUT@', filename: clicks, rotate_every_kb: @ROTATE_KB@, number_of_files: 1000}
queue.mem.flush.timeout: 200ms
path.data: '@STATE@'
logging.level: error
"""

PEERS = (
    Peer("fluent-bit", "fluent-bit.yaml", _FLUENT_BIT, ("-c", "@CONFIG@")),
    Peer("vector", "vector.toml", _VECTOR, ("--quiet", "--config", "@CONFIG@")),
    Peer("filebeat", "filebeat.yml", _FILEBEAT, ("-e", "--strict.perms=false", "-c", "@CONFIG@")),
)
