"""Where `send` sends to: a Unix socket, or a host and port with or without TLS."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Any, NamedTuple

import click

from ingestd.errors import IngestdError

_URL = re.compile(r"(http|https)://(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]@]+)(?::(\d{1,5}))?/?")
_TCP = re.compile(r"tcp:(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):(\d{1,5})/?")
FORMS = "unix:PATH, tcp:HOST:PORT, http://HOST[:PORT] or https://HOST[:PORT]"


class Target(NamedTuple):
    """An address as it was written, and taken apart: a path (of a Unix socket), or a host and port."""

    text: str
    path: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False


def parse(text: str) -> Target:
    """Read an address. Raises ValueError, with what to write instead."""
    if alone := re.fullmatch(r"(?:tcp:|https?://)?:?(\d{1,5})/?", text):
        raise ValueError(f"{text!r}: a port alone is not a host; write tcp:127.0.0.1:{alone[1]}")
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return Target(text, path=rest)
    if found := _TCP.fullmatch(text):
        return Target(text, host=found[1].strip("[]"), port=_port(found[2]))
    if found := _URL.fullmatch(text):
        tls = found[1] == "https"
        return Target(
            text, host=found[2].strip("[]"), port=_port(found[3] or ("443" if tls else "80")), tls=tls
        )
    if re.fullmatch(r"https?://[^/]+/.+", text):
        raise ValueError(f"{text!r}: the path is that of each source; write the scheme and host only")
    raise ValueError(f"{text!r} is not an address; write {FORMS}")


def _port(text: str) -> int:
    if not 0 < int(text) < 1 << 16:
        raise ValueError(f"{text} is not a port; write 1 to 65535")
    return int(text)


class TargetType(click.ParamType[Target]):
    """An option's value that is a Target."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        """Read the value; a wrong one ends the command with status 2."""
        if isinstance(value, Target):
            return value
        try:
            return parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


async def connect(
    target: Target, name: str, *, verify: bool = True
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection. `name`: the host that a certificate must be for. Raises IngestdError."""
    try:
        if target.path:
            return await asyncio.open_unix_connection(target.path)
        if not target.tls:
            return await asyncio.open_connection(target.host, target.port)
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return await asyncio.open_connection(target.host, target.port, ssl=context, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        hint = "--host NAME says whose certificate it must be, --insecure takes any"
        raise IngestdError(f"{target.text}: {error.verify_message} (asked for {name}); {hint}") from error
    except (OSError, ssl.SSLError) as error:
        raise IngestdError(f"cannot reach {target.text}: {error}; is ingestd running?") from error
