"""The capacity sheet's arithmetic: what so many events a second need, by formulas printed with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

GIB, DAY = 1 << 30, 86_400


@dataclass(frozen=True)
class Measured:
    """Medians of a run; bytes are an event's. None: not in the figures given."""

    cpu: float  # c: µs of the daemon
    front: float  # n: µs of nginx
    line: float  # L: bytes of its line
    disk: float  # D: bytes sent to the disk
    batch: float  # B: events a commit, at saturation
    rss: float  # m: MiB an instance
    request: float  # q: bytes of the request
    reply: float  # a: bytes of the answer
    kafka: float | None = None  # K: bytes in a Kafka batch, lz4
    zstd: float | None = None  # Z: bytes in a compressed file
    kafka_cpu: float | None = None  # k: µs of the daemon that writes to Kafka
    partition: float | None = None  # P: events/s that one partition took
    several: float | None = None  # g: cost of an event with several instances over that with one
    gain: float | None = None  # w: memory over bytes waiting

    @property
    def daemon(self) -> float:
        """µs of the daemon where there are several; never less than alone."""
        return self.cpu * self.growth

    @property
    def growth(self) -> float:
        """The cost with several instances over that with one, at least 1."""
        return max(1.0, self.several or 1.0)


@dataclass(frozen=True)
class Given:
    """What is not measured but chosen: the machines, and how far one loads them."""

    cores: int
    use: float  # u: the share of anything that is used at this rate, so that a burst finds the rest
    disk_mb: float
    net_gbit: float
    memory_gib: float
    buffer_mib: float = 256.0  # buffer.max_bytes
    spool_gib: float = 20.0  # spool.max_bytes


@dataclass(frozen=True)
class Line:
    """One row: what, its value at a rate (None: cannot be said), how it is printed, and its formula."""

    label: str
    value: Callable[[float], float | None]
    form: str
    formula: str


class Sheet:
    """The arithmetic. R is events a second, M machines, I instances."""

    def __init__(self, measured: Measured, given: Given) -> None:
        self.measured = measured
        self.given = given

    def cores(self, rate: float) -> float:
        """Return the cores that are busy, daemons and nginx."""
        return rate * (self.measured.daemon + self.measured.front) / 1e6

    def machines(self, rate: float) -> int:
        """Return the fewest machines of which no resource is used beyond `use`."""
        shares = (share(rate, 1) for share in self.shares().values())
        return max(1, *(math.ceil(share / self.given.use) for share in shares))

    def instances(self, rate: float) -> int:
        """Return how many daemons, evenly on the machines; one fills a core at most."""
        least = math.ceil(rate * self.measured.daemon / 1e6 / self.given.use)
        return self.machines(rate) * math.ceil(least / self.machines(rate))

    def kafka_cores(self, rate: float) -> float | None:
        """Return the cores that are busy where events go to Kafka and not to files."""
        if self.measured.kafka_cpu is None:
            return None
        return rate * (self.measured.kafka_cpu * self.measured.growth + self.measured.front) / 1e6

    def partitions(self, rate: float) -> int | None:
        """Return the Kafka partitions, from what one was seen to take."""
        if self.measured.partition is None:
            return None
        return math.ceil(rate / self.measured.partition / self.given.use)

    def network(self, rate: float, machines: int) -> float:
        """Return bits a second of a machine, the busier direction: requests in, or replies and lines out."""
        m = self.measured
        return rate / machines * max(m.request, m.reply + m.line) * 8

    def memory(self, rate: float, machines: int) -> float:
        """Return GiB of a machine at worst: every instance's buffer full."""
        m = self.measured
        each = m.rss + self.given.buffer_mib * (m.gain or 1.0)
        least = math.ceil(rate * m.daemon / 1e6 / self.given.use)
        return math.ceil(least / machines) * each / 1024

    def shares(self) -> dict[str, Callable[[float, int], float]]:
        """Return for each resource the share of a machine's that is used at a rate with so many machines."""
        g = self.given
        return {
            "CPU": lambda rate, machines: self.cores(rate) / machines / g.cores,
            "disk": lambda rate, machines: rate * self.measured.disk / machines / (g.disk_mb * 1e6),
            "network": lambda rate, machines: self.network(rate, machines) / (g.net_gbit * 1e9),
            "memory": lambda rate, machines: self.memory(rate, machines) / g.memory_gib,
        }

    def breaks_first(self, rate: float) -> list[tuple[str, float]]:
        """Return the resources by the share of them in use, the one that breaks first in front."""
        machines = self.machines(rate)
        used = [(name, share(rate, machines)) for name, share in self.shares().items()]
        return sorted(used, key=lambda one: -one[1])

    def lines(self) -> list[Line]:
        """Return the rows of the sheet."""
        m, g = self.measured, self.given
        each = self.machines
        return [
            Line("cores busy: daemons", lambda r: r * m.daemon / 1e6, ",.1f", "R·c·g / 10⁶"),
            Line("cores busy: nginx", lambda r: r * m.front / 1e6, ",.1f", "R·n / 10⁶"),
            Line("machines (M)", each, ",d", "each resource's use / u, rounded up; the most of them"),
            Line("... so that one may be away", lambda r: each(r) + 1, ",d", "M + 1"),
            Line("instances (I)", self.instances, ",d", "R·c·g / 10⁶ / u, rounded up to a multiple of M"),
            Line("instances a machine", lambda r: self.instances(r) // each(r), ",d", "I / M"),
            Line("cores busy with Kafka, not files", self.kafka_cores, ",.1f", "R·(k·g + n) / 10⁶"),
            Line("Kafka partitions that suffice", self.partitions, ",d", "R / P / u, rounded up"),
            Line("to the disks, MB/s", lambda r: r * m.disk / 1e6, ",.1f", "R·D / 10⁶"),
            Line("... of one machine", lambda r: r * m.disk / 1e6 / each(r), ",.1f", "R·D / 10⁶ / M"),
            Line("fdatasync/s, about", lambda r: r / m.batch, ",.0f", "R / B"),
            Line("files a day, GiB", lambda r: r * m.line * DAY / GIB, ",.0f", "R·L·86,400 / 2³⁰"),
            Line(
                "... finished, with zstd, as this mix packs",
                lambda r: r * m.zstd * DAY / GIB if m.zstd else None,
                ",.0f",
                "R·Z·86,400 / 2³⁰",
            ),
            Line("network in, Mbit/s", lambda r: r * m.request * 8 / 1e6, ",.0f", "R·q·8 / 10⁶"),
            Line("network out: replies, Mbit/s", lambda r: r * m.reply * 8 / 1e6, ",.0f", "R·a·8 / 10⁶"),
            Line(
                "network out: lines to Kafka, not packed, Mbit/s",
                lambda r: r * m.line * 8 / 1e6,
                ",.0f",
                "R·L·8 / 10⁶",
            ),
            Line(
                "... with lz4, as this mix packs",
                lambda r: r * m.kafka * 8 / 1e6 if m.kafka else None,
                ",.0f",
                "R·K·8 / 10⁶",
            ),
            Line(
                "memory of a machine at worst, GiB",
                lambda r: self.memory(r, each(r)),
                ",.1f",
                "I/M·(m + buffer.max_bytes·w)",
            ),
            Line(
                "Kafka away: hours until the spools are full",
                lambda r: self.instances(r) * g.spool_gib * GIB / (r * m.line) / 3600,
                ",.1f",
                "I·spool.max_bytes / (R·L) / 3600",
            ),
        ]
