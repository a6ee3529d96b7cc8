"""Any text as a configuration file: a configuration, or one error that says what is wrong line by line.

Text behind a NUL is the environment: INGESTD_<it>.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ingestd import config
from ingestd.errors import ConfigError
from tests.support.daemon import ROOT

# In memory, unless TMPDIR says where: the parent of a guided run clears away what its child leaves.
_MEMORY = os.environ.get("TMPDIR") or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
_PLACE = tempfile.TemporaryDirectory(prefix="ingestd-fuzz-", dir=_MEMORY)
_FILE = Path(_PLACE.name) / "ingestd.toml"
_SOURCE = b'[[source]]\nname = "a"\npath = "/c/a"\n'

SEEDS = [
    (ROOT / "conf" / "quickstart.toml").read_bytes(), b"", b"[", b"\xff", b"source = 1", b"ingest = 1\n",
    b"[ingest]\nlisten = 5\n" + _SOURCE, _SOURCE + b"profile = 'ocean'\n", _SOURCE + b"profile = '../x'\n",
    _SOURCE + b"signature = { kind = 'token', key_file = 'k' }\n", _SOURCE + _SOURCE,
    b"[kafka]\nbootstrap = ['k:1']\ndelivery = 'exactly_once'\n" + _SOURCE,
    b"[file]\nrotate_bytes = '1KiB'\n" + _SOURCE,
    b"[ingest]\nsocket_mode = '0777'\nprofile_directory = 'p'\n" + _SOURCE,
    _SOURCE + b"\0INGEST_ACK=queued", b"\0ADMIN_LISTEN=x",
    _SOURCE + b"event_time = { param = 'ts', unit = 'h' }\nprivacy = { a = 'sha256' }\nreply.status = 204\n",
]  # fmt: skip
TOKENS = [
    _SOURCE, b"[ingest]\n", b"[buffer]\n", b"[flush]\n", b"[file]\n", b"[kafka]\n", b"[spool]\n",
    b"[admin]\n", b"[log]\n", b"[source]\n", b"listen = ", b"'unix:/x'", b"'tcp:127.0.0.1:1'",
    b"max_bytes = ", b"'1MiB'", b"'9999999999999999GiB'", b"interval = ", b"'1ms'", b"name = ", b"path = ",
    b"'/'", b"profile = ", b"extends = ", b"signature = ", b"{ ", b" }", b"= ", b"[[", b"]]", b"\n", b"'",
    b'"""', b"dedup = ", b"key = ", b"reply.redirect = ", b"privacy = ", b"true", b"1979-05-27", b"nan",
    b"0x", b"1e400", b"\\u0000", b"\xe4\xbd\xa0", b"\0INGEST_", b"\0SOURCE_", b"\0LOG_LEVEL=",
]  # fmt: skip
MAX_BYTES = 700


def once(data: bytes) -> None:
    """Load it as `check` and `serve` do."""
    text, *variables = data.split(b"\0")
    environ: dict[str, str] = {}
    for variable in variables:
        name, _, value = variable.decode("utf-8", "replace").partition("=")
        environ["INGESTD_" + name] = value
    _FILE.write_bytes(text)
    try:
        settings: config.Config | None = config.load(_FILE, environ)
    except ConfigError as refused:
        told = refused.problems
        settings = None
    if settings is None:
        assert told
        assert all(problem.key and problem.what for problem in told)
        return
    assert settings.source
    with contextlib.suppress(ConfigError):
        # what is taken once is taken again: nothing was consumed or altered
        assert config.load(_FILE, environ) == settings
