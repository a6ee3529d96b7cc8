"""Print what so many events a second need: every figure from measured ones, by a formula beside it."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from bench.axes import axes
from bench.report import from_json, machine
from bench.scale_report import gain, growth
from bench.sheet import GIB, Given, Measured, Sheet
from bench.stats import Table

RATES = (10_000.0, 100_000.0, 1_000_000.0)


class CapacityError(Exception):
    """The figures given do not have what the sheet needs."""


def read_run(text: str, scale: str | None) -> Measured:
    """Take the medians from the JSON of bench/run, and of bench/scale. Raises CapacityError."""
    table, about = Table(from_json(text)), json.loads(text)["meta"]

    def of(contender: str, metric: str) -> float | None:
        if table.invalid(contender):
            return None
        found = table.spread(contender, metric)
        return found.median if found else None

    def need(metric: str) -> float:
        found = of("ingestd stored", metric)
        if found is None:
            raise CapacityError(f"no valid {metric} of 'ingestd stored' in these figures: run bench/run anew")
        return found

    if "request_bytes" not in about:
        raise CapacityError("no request_bytes in these figures: they are of an older bench/run")
    rate, partitions = of("ingestd kafka", "sat.rps"), of("ingestd kafka", "partitions")
    several, waiting = _growth(scale)
    return Measured(
        cpu=need("sat.cpu_us"),
        front=need("sat.front_us"),
        line=need("file_bytes"),
        disk=need("sat.disk_bytes"),
        batch=need("sat.batch_events"),
        rss=need("rss_mib"),
        request=about["request_bytes"],
        reply=need("sat.reply_bytes"),
        kafka=of("ingestd stored", "kafka_bytes"),
        zstd=of("ingestd stored", "zstd_bytes"),
        kafka_cpu=of("ingestd kafka", "sat.cpu_us"),
        partition=rate / partitions if rate and partitions else None,
        several=several,
        gain=waiting,
    )


def _growth(text: str | None) -> tuple[float | None, float | None]:
    """Return what bench/scale says: the cost with most instances over one's, memory over bytes waiting."""
    if text is None:
        return None, None
    table = Table(from_json(text))
    known = {axis.name: axis for axis in axes(GIB)}
    several = growth(known["instances"], known["instances"].settings[-1], table)
    waiting = gain(known["waiting"], known["waiting"].settings[-1], table)
    return several.median if several else None, waiting.median if waiting else None


def markdown(sheet: Sheet, about: dict[str, object], rates: Sequence[float]) -> str:
    """Return the sheet, to be pasted."""
    heads = "| | " + " | ".join(f"{rate:,.0f} events/s" for rate in rates) + " | formula |"
    lines = [heads, "|---|" + "---:|" * len(rates) + "---|"]
    for line in sheet.lines():
        values = [line.value(rate) for rate in rates]
        cells = ["not measured" if value is None else format(value, line.form) for value in values]
        lines.append(f"| {line.label} | " + " | ".join(cells) + f" | {line.formula} |")
    order = [sheet.breaks_first(rate) for rate in rates]
    first = [", ".join(f"{name} {share:.0%}" for name, share in found) for found in order]
    lines.append(
        "| **breaks first**: in use of a machine | " + " | ".join(first) + " | use / M / what it has |"
    )
    run = _wrapped(f"Of the run: {machine(about)}")
    return "\n\n".join(["\n".join(lines), _given(sheet.given), _measured(sheet.measured), run])


def _wrapped(text: str) -> str:
    """Return a paragraph in lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _given(g: Given) -> str:
    return _wrapped(
        f"Given: machines of {g.cores} cores, {g.memory_gib:g} GiB, a disk of {g.disk_mb:g} MB/s, "
        f"{g.net_gbit:g} Gbit/s, of which u = {g.use:g} is used at this rate; `buffer.max_bytes` "
        f"{g.buffer_mib:g} MiB and `spool.max_bytes` {g.spool_gib:g} GiB an instance."
    )


def _measured(m: Measured) -> str:
    several = f"{m.several:.2f}" if m.several is not None else "1 (bench/scale not given)"
    parts = [
        f"c = {m.cpu:.1f} µs daemon",
        f"n = {m.front:.1f} µs nginx (plain HTTP: TLS is not in it)",
        _or_not("k", m.kafka_cpu, " µs daemon with Kafka", 1),
        f"q = {m.request:.0f} B request",
        f"a = {m.reply:.0f} B reply",
        f"L = {m.line:.0f} B line",
        f"D = {m.disk:.0f} B to the disk",
        _or_not("K", m.kafka, " B in a Kafka batch (lz4)"),
        _or_not("Z", m.zstd, " B in a zstd file"),
        f"B = {m.batch:.0f} events a commit at saturation",
        f"m = {m.rss:.0f} MiB an instance",
        _or_not("P", m.partition, " events/s into one partition from one instance (it may take more)"),
        f"g = {several}, the cost with several instances over that with one",
        _or_not("w", m.gain, " bytes of memory a byte waiting", 2),
    ]
    packed = _wrapped(
        "The mix repeats ten callbacks with other ids, so K and Z are better than what traffic will give: "
        "plan disks and network with the rows above them."
    )
    figures = "\n".join(f"- {part}" for part in parts)
    return f"Measured, for each event:\n\n{figures}\n\n{packed}"


def _or_not(name: str, value: float | None, what: str, digits: int = 0) -> str:
    return f"{name} not measured" if value is None else f"{name} = {value:,.{digits}f}{what}"


def main(argv: list[str] | None = None) -> int:
    """Print the sheet; 2 where the figures do not suffice."""
    parser = argparse.ArgumentParser(
        prog="bench/capacity",
        description="Compute machines, instances, partitions, disk and network from the figures of bench/run "
        "(and bench/scale), as Markdown.",
        epilog="example: bench/capacity run.json --scale scale.json --cores 32",
    )
    parser.add_argument("figures", type=Path, help="JSON of bench/run")
    parser.add_argument("--scale", type=Path, help="JSON of bench/scale: several instances, memory a byte")
    parser.add_argument("--cores", type=int, default=16, help="of a machine (default 16)")
    parser.add_argument("--use", type=float, default=0.6, help="share of anything in use (default 0.6)")
    parser.add_argument("--disk-mb", type=float, default=500, help="a machine's disk, MB/s (default 500)")
    parser.add_argument("--net-gbit", type=float, default=10, help="a machine's network (default 10)")
    parser.add_argument("--memory-gib", type=float, default=32, help="a machine's memory (default 32)")
    args = parser.parse_args(argv)
    text = args.figures.read_text(encoding="utf-8")
    try:
        measured = read_run(text, args.scale.read_text(encoding="utf-8") if args.scale else None)
    except CapacityError as error:
        print(f"bench/capacity: {error}", file=sys.stderr)
        return 2
    given = Given(args.cores, args.use, args.disk_mb, args.net_gbit, args.memory_gib)
    print(markdown(Sheet(measured, given), json.loads(text)["meta"], RATES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
