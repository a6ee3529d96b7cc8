"""The status page's files, read once from the package: nothing is built, nothing loaded from elsewhere."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from ingestd.admin.server import Handler
from ingestd.http.responses import Reply

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Only our own files, no script or style within the markup, and no text that becomes markup (Trusted Types).
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = (
    ("Content-Encoding", "gzip"),
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
FOR_EVER = ("Cache-Control", "public, max-age=31536000, immutable")
ASK_AGAIN = ("Cache-Control", "no-cache")
# The files' directory in index.html; replaced by one named after their contents, so that they can be cached.
PLACE = b"page/files/"


def handlers() -> dict[str, Handler]:
    """`/` and the files it loads, each a reply made beforehand and compressed."""
    files = dict(_files(resources.files("ingestd.admin") / "page", ""))
    version = hashlib.sha256(b"\0".join(part for pair in sorted(files.items()) for part in _bytes(pair)))
    place = f"page/{version.hexdigest()[:12]}/"
    index = files.pop("index.html").replace(PLACE, place.encode())
    found = {"/": _always(_reply("index.html", index, ASK_AGAIN))}
    found |= {f"/{place}{name}": _always(_reply(name, data, FOR_EVER)) for name, data in files.items()}
    return found


def _bytes(pair: tuple[str, bytes]) -> tuple[bytes, bytes]:
    return pair[0].encode(), pair[1]


def _files(directory: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in directory.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _reply(name: str, data: bytes, caching: tuple[str, str]) -> Reply:
    content_type = TYPES[name.rpartition(".")[2]]
    return Reply(200, gzip.compress(data, mtime=0), content_type, (caching, *HEADERS))


def _always(reply: Reply) -> Handler:
    async def handler(query: str) -> Reply:
        return reply

    return handler
