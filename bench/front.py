"""The nginx that stands before every contender, as in production; one worker, nothing logged."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.procs import BenchError, Child

KEEPALIVE = 512


def nginx_binary() -> str:
    """Return nginx's path; Debian keeps it outside an ordinary user's PATH."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BenchError("nginx is not on PATH: apt-get install nginx-light")
    return found


def shell(work: Path, name: str, http: str) -> str:
    """Return an nginx configuration around the http block's text; its files stay in `work`."""
    user = "user root;\n" if os.geteuid() == 0 else ""  # so that the worker may open what this user made
    paths = "".join(
        f"  {kind}_temp_path {work}/{name}-{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
{user}worker_processes 1;
daemon off;
pid {work}/{name}.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
{paths}  large_client_header_buffers 4 32k;
  client_body_buffer_size 64k;
  keepalive_timeout 75s;
  keepalive_requests 100000000;
{http}}}
"""


def start(work: Path, upstream: str, port: int, extra: str = "") -> Child:
    """Start the front on a loopback port, forwarding to `upstream` (``unix:PATH`` or ``HOST:PORT``).

    The request goes on byte for byte: proxy_pass has no URI part, so nginx does not rewrite the query.
    """
    http = f"""\
  access_log off;
  upstream daemon {{
    server {upstream} max_fails=0;
    keepalive {KEEPALIVE};
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://daemon;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_next_upstream off;
{extra}    }}
  }}
"""
    conf = work / "front.conf"
    conf.write_text(shell(work, "front", http))
    child = Child("nginx front", [nginx_binary(), "-p", str(work), "-c", str(conf)], work / "front.log")
    child.wait_for(("127.0.0.1", port))
    return child
