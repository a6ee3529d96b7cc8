"""When the certificates in a PEM file expire. Source: RFC 5280, 4.1 and X.690 (DER)."""

from __future__ import annotations

import base64
import calendar
import re
import time
from collections.abc import Iterable, Sequence

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0
# Fields of TBSCertificate before `validity`, without the optional version: serialNumber, signature, issuer.
_BEFORE_VALIDITY = 3


def expiry(pem: bytes) -> Sequence[float]:
    """`notAfter` of each certificate, in seconds since the epoch. Raises ValueError without a valid one."""
    found = [_not_after(one) for one in _PEM.findall(pem)]
    if not found:
        raise ValueError("it does not contain a certificate")
    return found


def _not_after(text: bytes) -> float:
    """`notAfter` of one certificate. `text`: its base64."""
    try:
        ((_, certificate),) = _elements(base64.b64decode(text))
        _, to_be_signed = next(iter(_elements(certificate)))
        fields = [field for field in _elements(to_be_signed) if field[0] != _VERSION]
        _, validity = fields[_BEFORE_VALIDITY]
        _, (kind, until) = _elements(validity)
        return _seconds(kind, until.decode("ascii"))
    except (IndexError, StopIteration, ValueError) as error:
        raise ValueError("it contains a certificate that cannot be parsed") from error


def _elements(data: bytes) -> Iterable[tuple[int, bytes]]:
    """Yield (tag, content) of each element of DER data. Raises IndexError if the data is cut short."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + size > len(data):
            raise IndexError(at)
        yield tag, data[at : at + size]
        at += size


def _seconds(kind: int, text: str) -> float:
    if kind == _UTC_TIME:  # a year of two digits: 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError("it contains a certificate without an expiry")
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
