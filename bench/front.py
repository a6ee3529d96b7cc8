"""The nginx that stands before every contender: one worker, nothing logged, and what nginx/ingestd.conf says.

How a request is passed on is read from the file users install, so a change there is measured here.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.paths import ROOT
from bench.procs import BenchError, Child

KEEPALIVE = 512  # idle connections kept to the contender; more than any load here but those of bench/scale
PRODUCTION = ROOT / "nginx" / "ingestd.conf"


def nginx_binary() -> str:
    """Return nginx's path; Debian keeps it outside an ordinary user's PATH."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BenchError("nginx is not on PATH: apt-get install nginx-light")
    return found


def shell(work: Path, name: str, http: str, connections: int = KEEPALIVE) -> str:
    """Return an nginx configuration around the http block's text; its files stay in `work`.

    `connections`: how many clients it is for at most.
    """
    user = "user root;\n" if os.geteuid() == 0 else ""  # so that the worker may open what this user made
    room = 2 * connections + 3072  # a client, and its connection to what is behind
    paths = "".join(
        f"  {kind}_temp_path {work}/{name}-{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
{user}worker_processes 1;
worker_rlimit_nofile {room + 1024};
daemon off;
pid {work}/{name}.pid;
error_log stderr warn;
events {{ worker_connections {room}; }}
http {{
{paths}  large_client_header_buffers 4 32k;
  client_body_buffer_size 64k;
  keepalive_timeout 75s;
  keepalive_requests 100000000;
{http}}}
"""


def production_location(text: str) -> str:
    """Return the directives with which a production configuration passes a click on.

    Without those that send a request a second time: what a contender does not answer must be seen here.
    Raises BenchError where the location is not found.
    """
    found = re.search(r"^    location / \{\n(.*?)^    \}", text, re.MULTILINE | re.DOTALL)
    if found is None or "proxy_pass http://ingestd;" not in found[1]:
        raise BenchError(f"{PRODUCTION}: no location / with proxy_pass http://ingestd")
    lines = [line.partition("#")[0].rstrip() for line in found[1].splitlines()]
    return "".join(f"{line}\n" for line in lines if line and "proxy_next_upstream" not in line)


def start(
    work: Path, upstreams: Sequence[str], port: int, extra: str = "", connections: int = KEEPALIVE
) -> Child:
    """Start the front on a loopback port, before `upstreams` (each ``unix:PATH`` or ``HOST:PORT``)."""
    servers = "".join(f"    server {upstream} max_fails=0;\n" for upstream in upstreams)
    http = f"""\
  access_log off;
  upstream ingestd {{
{servers}    keepalive {max(KEEPALIVE, connections)};
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    merge_slashes off;
    location / {{
{production_location(PRODUCTION.read_text(encoding="utf-8"))}\
      proxy_next_upstream off;
{extra}    }}
  }}
"""
    conf = work / "front.conf"
    conf.write_text(shell(work, "front", http, connections))
    child = Child("nginx front", [nginx_binary(), "-p", str(work), "-c", str(conf)], work / "front.log")
    child.wait_for(("127.0.0.1", port))
    return child
