"""nginx' `escape=json` writes invalid JSON for bytes that are not UTF-8, such as raw GBK.

`escape=default` escapes them. That is why the spill log is made of escaped fields between tabs
(ingestd/cli/spill_log.py). Needs nginx on PATH.
"""

import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path

CONF = """daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ }}
http {{
  log_format as_json escape=json '{{"uri":"$request_uri"}}';
  log_format as_default escape=default '$request_uri';
  access_log {place}/json.log as_json;
  access_log {place}/default.log as_default;
  client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};
  uwsgi_temp_path {place}; scgi_temp_path {place};
  server {{ listen unix:{place}/sock; return 204; }}
}}
"""

with tempfile.TemporaryDirectory() as name:
    place = Path(name)
    place.chmod(0o755)
    (place / "conf").write_text(CONF.format(place=place))
    with subprocess.Popen(["nginx", "-c", place / "conf", "-e", place / "error.log"]) as nginx:
        while not (place / "sock").exists():
            time.sleep(0.05)
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(place / "sock"))
        client.sendall(b"GET /?n=%b HTTP/1.0\r\n\r\n" % "你好".encode("gbk"))
        client.recv(4096)
        nginx.terminate()
    line = (place / "json.log").read_bytes().strip()
    try:
        json.loads(line)
        print("escape=json:", line, "is valid JSON")
    except ValueError as error:
        print("escape=json:", line, "is not valid JSON:", error)
    print("escape=default:", (place / "default.log").read_bytes().strip())
