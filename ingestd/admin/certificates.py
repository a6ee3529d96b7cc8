"""What the daemon depends on and does not own, looked at a scrape: certificates' ends, nginx' spill log."""

from __future__ import annotations

import base64
import calendar
import logging
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ingestd.config.sections import Config

logger = logging.getLogger(__name__)

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0
# Of TBSCertificate before its validity: serial number, signature, issuer. RFC 5280, 4.1.
_BEFORE_VALIDITY = 3


class Surroundings:
    """Of one configuration; a reload makes a new one."""

    def __init__(self, config: Config) -> None:
        self._spill_log = config.admin.spill_log
        # A chain is as good as its first certificate to end; of several authorities one is enough.
        self._chains = list(config.admin.certificates)
        self._authorities: list[Path] = []
        if config.kafka is not None:
            security = config.kafka.security
            self._chains += [security.cert_file] if security.cert_file else []
            self._authorities += [security.ca_file] if security.ca_file else []
        self._told: set[Path] = set()

    def certificates(self) -> dict[str, float]:
        """When each file's certificates end, seconds since the epoch; what cannot be read is left out."""
        found: dict[str, float] = {}
        for choose, paths in ((min, self._chains), (max, self._authorities)):
            for path in paths:
                try:
                    found[str(path)] = choose(ends(path.read_bytes()))
                except (OSError, ValueError) as error:
                    if path not in self._told:
                        about = {"file": str(path), "error": str(error)}
                        logger.warning("certificate cannot be read", extra=about)
                    self._told.add(path)
        return found

    def gauges(self) -> dict[str, float]:
        """Of `metrics.GAUGES`, what lies around the daemon."""
        if self._spill_log is None:
            return {}
        try:
            return {"spill_log_bytes": float(self._spill_log.stat().st_size)}
        except FileNotFoundError:
            return {"spill_log_bytes": 0.0}
        except OSError:  # not ours to look at
            return {}


def ends(pem: bytes) -> Sequence[float]:
    """When each certificate of a PEM file ends, seconds since the epoch. Raises ValueError: there is none."""
    found = [_end(one) for one in _PEM.findall(pem)]
    if not found:
        raise ValueError("there is no certificate in it")
    return found


def _end(text: bytes) -> float:
    """`notAfter` of one certificate, of which this is the base64."""
    try:
        ((_, certificate),) = _elements(base64.b64decode(text))
        _, to_be_signed = next(iter(_elements(certificate)))
        fields = [field for field in _elements(to_be_signed) if field[0] != _VERSION]
        _, validity = fields[_BEFORE_VALIDITY]
        _, (kind, until) = _elements(validity)
        return _seconds(kind, until.decode("ascii"))
    except (IndexError, StopIteration, ValueError) as error:
        raise ValueError("a certificate in it cannot be read") from error


def _elements(data: bytes) -> Iterable[tuple[int, bytes]]:
    """The elements of DER one after the other: tag and content. Raises IndexError where it ends too soon."""
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
    if kind == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError("a certificate in it has no end")
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
