"""The types of values in a configuration: sizes, durations, file modes, addresses, names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from ingestd.config import secrets

SIZE_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_PEERS = 64
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


def _quantity(value: object, kind: str, units: Mapping[str, float], example: str) -> float:
    if isinstance(value, str) and (match := _QUANTITY.fullmatch(value.strip())) and match[2] in units:
        return float(match[1]) * units[match[2]]
    raise ValueError(
        f'{value!r} is not a {kind}; write a number with a unit ({" ".join(units)}): "{example}"'
    )


def _size(value: object) -> int:
    return int(_quantity(value, "size", SIZE_UNITS, "64MiB"))


def _duration(value: object) -> float:
    return _quantity(value, "duration", DURATION_UNITS, "200ms")


def _mode(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"0?[0-7]{3}", value):
        return int(value, 8)
    raise ValueError(f'{value!r} is not a file mode; write it as "0660"')


def one_or_list(value: object) -> object:
    """Make a list of a single text; any other value stays."""
    return [value] if isinstance(value, str) else value


def _listen_address(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"unix:.+|tcp:(\[[0-9a-fA-F:.]+\]|[^:\[\]]+):\d{1,5}", value):
        return value
    raise ValueError(
        f'{value!r} is not an address; write "unix:/run/ingestd/ingestd.sock" or "tcp:127.0.0.1:8080"'
    )


def _peer_address(value: object) -> str:
    address, ports = value if isinstance(value, str) else "", 1
    if found := re.fullmatch(r"(tcp:.*:(\d{1,5}))-(\d{1,5})", address):
        address, ports = found[1], int(found[3]) - int(found[2]) + 1
    try:
        _listen_address(address)
    except ValueError:
        ports = 0
    if not 0 < ports <= MAX_PEERS:
        raise ValueError(
            f'{value!r} is not an address; write "tcp:127.0.0.1:9401" or "tcp:127.0.0.1:9401-9404" '
            f"({MAX_PEERS} ports at most)"
        )
    return str(value)


def each_address(text: str) -> Iterator[str]:
    """The addresses a text stands for: `HOST:9401-9404` are four."""
    ports = re.fullmatch(r"(.*:)(\d+)-(\d+)", text)
    if ports is None or text.startswith("unix:"):
        yield text
    else:
        yield from (f"{ports[1]}{port}" for port in range(int(ports[2]), int(ports[3]) + 1))


def is_local(address: str) -> bool:
    """Whether only this machine can reach a listen address: a Unix socket, or a loopback address."""
    kind, _, rest = address.partition(":")
    host = rest.rpartition(":")[0].strip("[]").lower()
    if kind == "unix" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may resolve to any address
        return False


def _secret_file(value: object, info: ValidationInfo) -> Path:
    """The path of a file of secrets, located once, at validation (see `secrets.locate`)."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError('a secret is given by the name of its file; write "platform.key"')
    context = info.context or {}
    return secrets.locate(Path(value), context.get("beside", Path()), context.get("environ", {}))


Size = Annotated[int, BeforeValidator(_size)]
Duration = Annotated[float, BeforeValidator(_duration)]
FileMode = Annotated[int, BeforeValidator(_mode)]
Listen = Annotated[str, BeforeValidator(_listen_address)]
Peer = Annotated[str, BeforeValidator(_peer_address)]
SecretFile = Annotated[Path, BeforeValidator(_secret_file)]
PublicBase = Annotated[str, Field(pattern=r"^(https?://[!-.0->@-~]+)?$")]
Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    """Base of the configuration's models: frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)
