"""How the cost of an event changes as something grows: settings in turn, round after round, then a table."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench import fleet, interpreter, mix, report, scale_report, traffic
from bench.axes import GIB, Axis, Setting, axes
from bench.contenders import go_build
from bench.fleet import Ground
from bench.measure import Plan, Result
from bench.paths import RESULTS, ROOT, cache_dir
from bench.procs import BenchError
from bench.stats import Table
from bench.suite import interrupt, say, warn_of_memory

OTHER_DESCRIPTORS = 1500  # of nginx or a daemon, besides those of clients
SPARE = 4 * GIB  # what the disk must hold besides the backlog
QUICK = {"events": 50_000, "backlog": GIB // 4}  # by axis, the most in a quick run; else
QUICK_MOST = 2000


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    names = [axis.name for axis in axes(GIB)]
    parser = argparse.ArgumentParser(
        prog="bench/scale",
        description="Measure what an event costs as instances, parameters, bytes, sources, connections, the "
        f"spool's backlog and the events waiting grow. {interpreter.measured()}",
        epilog="example: bench/scale --only sources,idle --rounds 5",
    )
    parser.add_argument("--only", help=f"what grows, separated by commas: {', '.join(names)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each setting is run (default 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a measurement (default 5)")
    parser.add_argument("--ack", choices=("stored", "queued"), default="stored", help="(default stored)")
    parser.add_argument(
        "--rate", type=float, default=4000, help="requests/s where a rate is fixed (default 4000)"
    )
    parser.add_argument(
        "--backlog", type=float, default=2, metavar="GIB", help="the spool's greatest backlog (default 2)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="1 round of 1 s, least and a middling setting: does it work"
    )
    parser.add_argument(
        "--patience", type=float, default=60, help="wait so many seconds for a quiet machine (default 60)"
    )
    parser.add_argument("--work", type=Path, help="folder on a real disk for all files (default: the cache)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for scale.md, .json and .svg")
    parser.add_argument("--list", action="store_true", help="list what grows, with its settings, and end")
    args = parser.parse_args(argv)
    if args.quick:
        args.rounds, args.seconds = 1, 1.0
    return args


def choose(args: argparse.Namespace) -> tuple[Axis, ...]:
    """Return what is to be measured. Raises BenchError for an unknown name."""
    everything = axes(int(args.backlog * GIB))
    names = args.only.split(",") if args.only else [axis.name for axis in everything]
    if unknown := set(names) - {axis.name for axis in everything}:
        raise BenchError(f"nothing grows that is called {', '.join(sorted(unknown))}; see bench/scale --list")
    chosen = [axis for axis in everything if axis.name in names]
    return tuple(map(shortened, chosen)) if args.quick else tuple(chosen)


def shortened(axis: Axis) -> Axis:
    """Return an axis with its least setting and the greatest that is quick."""
    most = QUICK.get(axis.name, 50_000 if axis.name == "waiting" else QUICK_MOST)
    rest = [setting for setting in axis.settings[1:] if setting.value <= most] or axis.settings[1:2]
    return dataclasses.replace(axis, settings=(axis.smallest, *rest[-1:]))


def raise_descriptors(needed: int) -> int:
    """Allow this process and its children so many descriptors; return how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # only root may raise the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), max(hard, needed)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def needed(setting: Setting) -> int:
    """Return the descriptors of the process that needs most: nginx has two for each client."""
    through = 0 if setting.load == "straight" else 2 * setting.connections
    return max(through, setting.connections + setting.idle) + OTHER_DESCRIPTORS


def able(setting: Setting, descriptors: int) -> Setting | None:
    """Return the setting, one with as many connections in whole thousands as can be had here, or None."""
    if needed(setting) <= descriptors:
        return setting
    fewer = (descriptors - OTHER_DESCRIPTORS) // 2000 * 1000
    if setting.load != "clients" or fewer < 1000:
        return None
    return dataclasses.replace(setting, value=fewer, connections=fewer)


def within(axis: Axis, descriptors: int) -> tuple[Axis, list[str]]:
    """Return an axis with what can be had here, and why something cannot."""
    kept, absent = [], []
    for setting in axis.settings:
        found = able(setting, descriptors)
        if found != setting:
            instead = f"; {found.name} instead" if found else ""
            absent.append(
                f"{setting.name}: {needed(setting)} descriptors needed, ulimit -n is {descriptors}{instead}"
            )
        if found:
            kept.append(found)
    return dataclasses.replace(axis, settings=tuple(kept)), absent


def lay_ground(args: argparse.Namespace, chosen: tuple[Axis, ...], work: Path) -> dict[str, Ground]:
    """Write the requests of every setting, and the spool if one is wanted; return each setting's ground."""
    spool = work / "backlog"
    if any(axis.name == "backlog" for axis in chosen):
        fill_spool(spool, max(s.backlog or 0 for axis in chosen for s in axis.settings))
    loadgen = go_build("./loadgen")
    grounds: dict[tuple[str, int], Ground] = {}
    found = {}
    for setting in (setting for axis in chosen for setting in axis.settings):
        if setting.traffic not in grounds:
            made = traffic.build(*setting.traffic)
            base = work / "-".join(map(str, ("scale", *setting.traffic)))
            mix.write_for_wrk(made.requests, base.with_suffix(".lua"))
            mix.write_for_loadgen(made.requests, base.with_suffix(".json"))
            plan = Plan(
                seconds=args.seconds,
                rates=(),
                connections=0,
                open_connections=0,
                work=work,
                loadgen=loadgen,
                wrk_script=base.with_suffix(".lua"),
                requests=base.with_suffix(".json"),
                request_bytes=mix.mean_bytes(made.requests),
                known=frozenset(request.decoded for request in made.requests),
                patience=args.patience,
            )
            grounds[setting.traffic] = Ground(plan, made, args.ack, args.rate, spool)
        found[setting.name] = grounds[setting.traffic]
    return found


def fill_spool(folder: Path, size: int) -> None:
    """Write a backlog, once for all rounds. Raises BenchError where the disk does not hold it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    free = shutil.disk_usage(folder).free
    if free < size + SPARE:
        raise BenchError(f"{folder}: {free / GIB:.0f} GiB free; --backlog {free / GIB - 5:.0f} at most")
    say(f"writing a backlog of {size / GIB:g} GiB")
    here = interpreter.installed(ROOT)
    command = [here.python, "-m", "bench.spool_fill", str(folder), str(size)]
    done = subprocess.run(command, env=here.env(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"no backlog: {done.stderr.strip()}")


def interleave(chosen: tuple[Axis, ...], rounds: int, grounds: dict[str, Ground]) -> list[Result]:
    """Run every setting once a round; each round of an axis begins with another one."""
    results: list[Result] = []
    began = time.monotonic()
    steps = rounds * sum(len(axis.settings) for axis in chosen)
    for number in range(1, rounds + 1):
        for axis in chosen:
            first = (number - 1) % len(axis.settings)
            for setting in axis.settings[first:] + axis.settings[:first]:
                result = _attempt(setting, number, grounds[setting.name])
                results.append(result)
                left = (time.monotonic() - began) / len(results) * (steps - len(results))
                say(f"[{len(results):3}/{steps}, {left:5.0f} s left] {setting.name:18} {_line(result)}")
    return results


def _attempt(setting: Setting, number: int, ground: Ground) -> Result:
    """Run one round; a setting that cannot be had is invalid and does not cost the others."""
    try:
        return fleet.run(setting, number, ground)
    except BenchError as error:
        return Result(setting.name, number, invalid=[f"round {number}: {error}"])


def _line(result: Result) -> str:
    bad = f"  INVALID: {'; '.join(result.invalid)}" if result.invalid else ""
    if "load.rps" not in result.metrics:
        return bad
    return f"{result.metrics['load.rps']:7,.0f}/s {result.metrics['load.cpu_us']:6.1f} µs{bad}"


def measure(args: argparse.Namespace) -> tuple[tuple[Axis, ...], list[Result], list[str]]:
    """Run what was asked for; return it, its figures and what was left out. Raises BenchError."""
    chosen = choose(args)
    descriptors = raise_descriptors(max(needed(s) for axis in chosen for s in axis.settings))
    both = [within(axis, descriptors) for axis in chosen]
    chosen, absent = tuple(axis for axis, _ in both), [why for _, reasons in both for why in reasons]
    for why in absent:
        say(f"LEFT OUT: {why}")
    work = args.work or cache_dir() / "work"
    work.mkdir(parents=True, exist_ok=True)
    warn_of_memory(work)
    try:
        return chosen, interleave(chosen, args.rounds, lay_ground(args, chosen, work)), absent
    finally:
        shutil.rmtree(work / "backlog", ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Measure and write the report; 1 where a setting's figures are invalid."""
    args = arguments(argv)
    if args.list:
        for axis in axes(int(args.backlog * GIB)):
            print(f"{axis.name:12} {axis.title}: {', '.join(setting.label for setting in axis.settings)}")
        return 0
    signal.signal(signal.SIGTERM, interrupt)
    try:
        chosen, results, absent = measure(args)
    except BenchError as error:
        say(f"bench/scale: {error}")
        return 2
    table = Table(results)
    about = report.meta({"rounds": args.rounds, "seconds": args.seconds, "ack": args.ack, "rate": args.rate})
    text = scale_report.markdown(about, chosen, table, absent)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "scale.md").write_text(text, encoding="utf-8")
    (args.results / "scale.json").write_text(report.to_json(about, results), encoding="utf-8")
    (args.results / "scale.svg").write_text(scale_report.plot(chosen, table), encoding="utf-8")
    print(text)
    return 1 if any(table.invalid(name) for name in table.contenders) else 0


if __name__ == "__main__":
    sys.exit(main())
