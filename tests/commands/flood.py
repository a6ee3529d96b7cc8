"""What a flood of wrong tokens or forged signatures does to a good source beside it. A command, not a test:

    python -m tests.commands.flood [--requests 50000] [--rate 5000] [--good 500]
    python -m tests.commands.flood --public-key

nginx and the daemon as shipped; the flood and the good source come from processes of their own. Printed: the
good source's latency alone, beside as many good events on the flooded path, and beside the flood. With
`--public-key` the flood is of SKAdNetwork postbacks that only a verification tells from genuine ones, after
as many that are not signed at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter

import uvloop

from ingestd.http.responses import REFUSAL_REPLIES
from tests.support.daemon import Daemon
from tests.support.nginx import Nginx
from tests.support.place import open_place
from tests.support.platforms.cases import EXAMPLES
from tests.support.wire import request

TOKEN = "the-right-token"
CONNECTIONS = 16
FLOOD_CONNECTIONS = 256  # more than requests of a source may wait for a public key
AT_ONCE = 10
# How the bodies end: of a good event, of one there is no time for, and of a rejected one.
ENDS = (b"ok", b"busy", REFUSAL_REPLIES["signature"].keep.rpartition(b"\r\n")[2])


POSTBACK: dict[str, object] = EXAMPLES["apple_skan"][1]


def target(path: str, number: int) -> bytes:
    """A click, or, to /p/skan, a postback: forged below /forged, else without a signature."""
    if not path.startswith("/p/skan"):
        return request(f"{path}?transaction_id={number}&oaid=7f3c9d2b4e5a61708192a3b4c5d6e7f8&n=1")
    postback = POSTBACK | {"transaction-id": str(number)}
    if "forged" not in path:
        postback["attribution-signature"] = ""
    return request(path, "POST", {"Content-Type": "application/json"}, json.dumps(postback).encode())


async def send(port: int, path: str, count: int, rate: float) -> tuple[list[float], Counter[int]]:
    """`count` requests at `rate` a second; the seconds each took from when it was due, and the statuses."""
    took: list[float] = []
    statuses: Counter[int] = Counter()
    numbers = iter(range(count))
    began = time.perf_counter()

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(target(path, number))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or b"0")
            await reader.readexactly(length)
            took.append(time.perf_counter() - due)
            statuses[int(head.split()[1])] += 1
        writer.close()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return took, statuses


async def pour(port: int, path: str, count: int, rate: float) -> Counter[int]:
    """`count` requests at `rate` a second, pipelined so that the sender costs little; the statuses."""
    statuses: Counter[int] = Counter()
    firsts = iter(range(0, count, AT_ONCE))
    began = time.perf_counter()

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for first in firsts:
            await asyncio.sleep(max(0.0, began + first / rate - time.perf_counter()))
            last = min(first + AT_ONCE, count)
            writer.write(b"".join(target(path, number) for number in range(first, last)))
            answers = b""
            while answers.count(b"HTTP/1.1 ") < last - first or not answers.endswith(ENDS):
                answers += await reader.read(65536)
            statuses.update(int(one[:3]) for one in answers.split(b"HTTP/1.1 ")[1:])
        writer.close()

    await asyncio.gather(*(worker() for _ in range(FLOOD_CONNECTIONS)))
    return statuses


def beside(port: int, path: str, count: int, rate: float) -> subprocess.Popen[bytes]:
    """A process that sends."""
    work = f"uvloop.run(pour({port}, {path!r}, {count}, {rate}))"
    code = f"import uvloop; from tests.commands.flood import pour; print({work})"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def report(what: str, took: list[float], statuses: Counter[int], flood: str = "") -> None:
    took.sort()
    p50, p99 = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99))
    print(f"{what:34} p50 {p50:7.2f} ms  p99 {p99:7.2f} ms  {dict(statuses)}  {flood}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000, help="of the flood")
    parser.add_argument("--rate", type=float, default=5000, help="of the flood, a second")
    parser.add_argument("--good", type=float, default=500, help="good events a second")
    parser.add_argument("--public-key", action="store_true", help="a flood of forged postbacks instead")
    options = parser.parse_args()
    count = int(options.good * options.requests / options.rate)
    flooded = {
        "beside as many good events": f"/p/net/{TOKEN}", "beside the flood of wrong tokens": "/p/net/wrong",
    }  # fmt: skip
    if options.public_key:
        flooded = {
            "beside as many unsigned postbacks": "/p/skan/unsigned",
            "beside the flood of forged ones": "/p/skan/forged",
        }
    with open_place() as place:
        (place / "token").write_text(TOKEN)
        signature = {"kind": "token", "place": "path", "key_file": "token"}
        skan = {"kind": "apple_skan"}
        sources: list[dict[str, object]] = [
            {"name": "net", "path": "/p/net", "signature": signature, "on_bad_signature": "reject"},
            {"name": "netskan", "path": "/p/skan", "signature": skan, "on_bad_signature": "reject"},
            {"name": "good", "path": "/c/good"},
        ]
        with Daemon(place, sources=sources) as daemon, Nginx(place, [daemon.socket]) as nginx:
            uvloop.run(send(nginx.port, "/c/good", count // 10, options.good))  # warm
            report("alone", *uvloop.run(send(nginx.port, "/c/good", count, options.good)))
            for what, path in flooded.items():
                other = beside(nginx.port, path, options.requests, options.rate)
                took, statuses = uvloop.run(send(nginx.port, "/c/good", count, options.good))
                answered, _ = other.communicate()
                report(what, took, statuses, f"beside it: {answered.decode().strip()}")
            for name, value in daemon.metrics().items():
                if (
                    "net" in name
                    and value
                    and ("signature" in name or "rejected" in name or "stored_total" in name)
                ):
                    print(f"  ingestd_{name} {value:.0f}")


if __name__ == "__main__":
    main()
