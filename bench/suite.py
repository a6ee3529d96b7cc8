"""The comparison: contenders in turn, round after round, then tables, plots and JSON."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from bench import disk, interpreter, measure, mix, report
from bench.contenders import Contender, Go, NginxFloor, go_build
from bench.ingestd_rows import Ingestd, IngestdKafka
from bench.measure import Plan, Result
from bench.paths import CALLBACKS, RESULTS, cache_dir
from bench.peers import PEERS
from bench.procs import BenchError
from bench.stats import Table

ACKS = {
    "queued": "file sink, answered when the event is in the queue",
    "stored": "file sink, answered after fdatasync",
}


def contenders(kafka: str | None, also: list[Path]) -> list[Contender]:
    """Return all that may take part, in the order of the table."""
    return [
        *(Ingestd(ack, what) for ack, what in ACKS.items()),
        *(Ingestd(ack, what, checkout.resolve()) for checkout in also for ack, what in ACKS.items()),
        IngestdKafka(kafka),
        Go("go-nethttp", "net/http, channel, ticker, encoding/json, bufio"),
        Go("go-hertz", "the same on CloudWeGo Hertz (netpoll)"),
        NginxFloor(),
        *PEERS,
    ]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Compare ingestd with what it replaces, on the same requests through the same nginx. "
        f"{interpreter.measured()}",
        epilog="example: bench/run --only go-nethttp,nginx-floor --rates 10000 --rounds 3",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs (default 5)")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each measurement (default 6)")
    parser.add_argument("--only", help="contenders, by name, separated by commas (default: all)")
    parser.add_argument(
        "--rates", default="2000,10000,20000", help="offered requests/s (default %(default)s)"
    )
    parser.add_argument("--connections", type=int, default=256, help="wrk's connections (default 256)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="broker for the row 'ingestd kafka'")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--quick", action="store_true", help="2 rounds of 2 s, 10,000/s only: for a first look"
    )
    parser.add_argument(
        "--also", type=Path, action="append", default=[], metavar="DIR", help="add rows for another checkout"
    )
    parser.add_argument(
        "--patience", type=float, default=60, help="wait so many seconds for a quiet machine (default 60)"
    )
    parser.add_argument(
        "--callbacks", type=Path, default=CALLBACKS, help="example callbacks to make the mix from"
    )
    parser.add_argument("--work", type=Path, help="folder for the contenders' files (default: the cache)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder for table, plots and JSON (bench/results)"
    )
    parser.add_argument("--list", action="store_true", help="list the contenders and end")
    args = parser.parse_args(argv)
    if args.quick:
        args.rounds, args.seconds, args.rates = 2, 2.0, "10000"
    return args


def make_plan(args: argparse.Namespace) -> Plan:
    """Build the load generator and write the request mix."""
    work = args.work or cache_dir() / "work"
    work.mkdir(parents=True, exist_ok=True)
    warn_of_memory(work)
    requests = mix.build(args.callbacks)
    mix.write_for_wrk(requests, work / "mix.lua")
    mix.write_for_loadgen(requests, work / "mix.json")
    return Plan(
        seconds=args.seconds,
        rates=tuple(float(rate) for rate in args.rates.split(",") if rate),
        connections=args.connections,
        open_connections=256,
        work=work,
        loadgen=go_build("./loadgen"),
        wrk_script=work / "mix.lua",
        requests=work / "mix.json",
        request_bytes=mix.mean_bytes(requests),
        known=frozenset(request.decoded for request in requests),
        patience=args.patience,
    )


def warn_of_memory(folder: Path) -> None:
    """Say so where a folder is not on a disk."""
    command = ["stat", "-f", "-c", "%T", str(folder)]
    if subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "tmpfs":
        say(f"WARNING: {folder} is in memory, where fdatasync costs nothing: give --work on a disk")


def choose(everyone: list[Contender], only: str | None) -> tuple[list[Contender], dict[str, str]]:
    """Return who takes part, and for the others why not. Raises BenchError for an unknown name."""
    names = [name.strip() for name in only.split(",")] if only else [one.name for one in everyone]
    unknown = set(names) - {one.name for one in everyone}
    if unknown:
        raise BenchError(f"no such contender: {', '.join(sorted(unknown))}; bench/run --list has them")
    asked = [one for one in everyone if one.name in names]
    absent = {one.name: reason for one in asked if (reason := one.absent())}
    for name, reason in absent.items():
        say(f"LEFT OUT: {name}: {reason}")
    return [one for one in asked if one.name not in absent], absent


def interleave(chosen: list[Contender], rounds: int, plan: Plan) -> tuple[list[Result], list[list[float]]]:
    """Run every contender once a round, so that a slow minute of the machine hits all of them.

    Each round begins with another one, so that nobody always comes after the same neighbour. Returns the
    results, and what the disk alone took in each round.
    """
    results: list[Result] = []
    probes = []
    began = time.monotonic()
    for number in range(1, rounds + 1):
        probes.append(disk.probe(plan.work))
        first = (number - 1) % len(chosen)
        for contender in chosen[first:] + chosen[:first]:
            result = _attempt(contender, number, plan)
            results.append(result)
            step, steps = len(results), rounds * len(chosen)
            left = (time.monotonic() - began) / step * (steps - step)
            say(f"[{step:2}/{steps}, {left:4.0f} s left] round {number} {_line(result)}")
    return results, probes


def _attempt(contender: Contender, number: int, plan: Plan) -> Result:
    """Run one round. One that fails after the first makes its contender invalid and costs no other."""
    try:
        return measure.run(contender, number, plan)
    except BenchError as error:
        if number == 1:
            raise
        return Result(contender.name, number, invalid=[f"round {number}: {error}"])


def _line(result: Result) -> str:
    figures = result.metrics
    if "sat.rps" not in figures:
        return f"{result.contender:15} INVALID: {'; '.join(result.invalid)}"
    rates = [key.partition(".")[0] for key in figures if key.endswith(".p99_ms")][1:]
    p99 = ", ".join(f"{rate}/s p99 {figures[f'{rate}.p99_ms']:.1f} ms" for rate in rates)
    text = f"{result.contender:15} {figures['sat.rps']:7,.0f}/s {figures['sat.cpu_us']:5.1f} µs  {p99}"
    return f"{text}  INVALID: {'; '.join(result.invalid)}" if result.invalid else text


def say(text: str) -> None:
    """Print progress, apart from the report."""
    print(text, file=sys.stderr, flush=True)


def interrupt(number: int, _frame: FrameType | None) -> None:
    """End in good order at a signal."""
    raise SystemExit(128 + number)


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; 1 where a contender's figures are invalid."""
    args = arguments(argv)
    everyone = contenders(args.kafka, args.also)
    if args.list:
        for one in everyone:
            print(f"{one.name:16} {one.what}")
        return 0
    signal.signal(signal.SIGTERM, interrupt)  # so that the with blocks stop what was started
    try:
        chosen, absent = choose(everyone, args.only)
        plan = make_plan(args)
        results, probes = interleave(chosen, args.rounds, plan)
    except BenchError as error:
        say(f"bench/run: {error}")
        return 2
    table = Table(results)
    about = report.meta({"rounds": args.rounds, "seconds": args.seconds, "connections": args.connections})
    about["request_bytes"] = plan.request_bytes
    about["disk"] = disk.remark(probes)
    text = report.markdown(about, table, plan.rates, absent)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "latest.md").write_text(text, encoding="utf-8")
    for file in {args.results / "latest.json", args.json or args.results / "latest.json"}:
        file.write_text(report.to_json(about, results), encoding="utf-8")
    report.plots(table, plan.rates, args.results)
    print(text)
    return 1 if any(table.invalid(name) for name in table.contenders) else 0


if __name__ == "__main__":
    sys.exit(main())
