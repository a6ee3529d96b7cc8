"""The tables and plots of a run, from its figures alone."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path

from bench import interpreter, svg
from bench.measure import OTHERS_LIMIT, Result
from bench.paths import ROOT
from bench.stats import LIMITS, RATIOS, Table

_SATURATED = (  # heading, metric, digits
    ("requests/s", "sat.rps", 0),
    ("daemon µs/event", "sat.cpu_us", 1),
    ("user", "sat.user_us", 1),
    ("sys", "sat.sys_us", 1),
    ("nginx µs/event", "sat.front_us", 1),
    ("p50 ms", "sat.p50_ms", 1),
    ("p99 ms", "sat.p99_ms", 1),
    ("peak RSS MiB", "rss_mib", 0),
    ("file B/event", "file_bytes", 0),
    ("disk B/event", "sat.disk_bytes", 0),
    ("switches/event", "sat.switches", 2),
)
_OFFERED = (
    ("p50 ms", "p50_ms", 2),
    ("p99 ms", "p99_ms", 2),
    ("p99.9 ms", "p999_ms", 2),
    ("daemon µs/event", "cpu_us", 1),
    ("switches/event", "switches", 2),
    ("events/commit", "batch_events", 1),
    ("loop pause p99.9, ms", "loop_p999_ms", 1),
    ("longest, ms", "loop_ms", 1),
    ("pauses > 10 ms", "loop_over", 0),
    ("generator late p99, ms", "lag_ms", 2),
)


def meta(arguments: dict[str, object]) -> dict[str, object]:
    """Return what a reader must know to judge the figures."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _say("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "cpu": _cpu(),
        "kernel": platform.release(),
        "python": interpreter.describe(),
        "go": _say("go", "version"),
        "arguments": arguments,
    }


def _cpu() -> str:
    text = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.machine()


def _say(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "absent"
    return done.stdout.strip() or "unknown"


def to_json(about: dict[str, object], results: list[Result]) -> str:
    """Return a run as JSON; `from_json` reads it back."""
    return json.dumps({"meta": about, "rounds": [asdict(result) for result in results]}, indent=1) + "\n"


def from_json(text: str) -> list[Result]:
    """Read a run's rounds."""
    return [Result(**fields) for fields in json.loads(text)["rounds"]]


def markdown(about: dict[str, object], table: Table, rates: tuple[float, ...], absent: dict[str, str]) -> str:
    """Return the whole report."""
    parts = [
        f"{machine(about)} Medians over the rounds, with the lowest and the highest.",
        "### At saturation\n\n" + _grid(table, _SATURATED),
    ]
    for rate in rates:
        columns = tuple((head, f"{rate:g}.{metric}", digits) for head, metric, digits in _OFFERED)
        parts.append(f"### {rate:,.0f} requests/s offered\n\n" + _grid(table, columns))
    parts.append("### Ratios, and figures that have a goal\n\n" + _ratios(table))
    parts.extend(_remarks(about, table, absent))
    return "\n\n".join(parts) + "\n"


def machine(about: dict[str, object]) -> str:
    """Return a sentence on what was measured, where and when."""
    where = f"{about['cpu']}, Linux {about['kernel']}, Python {about['python']}, {about['go']}"
    return f"{where}; {about['date']}, commit {about['commit']}."


def _grid(table: Table, columns: tuple[tuple[str, str, int], ...]) -> str:
    lines = ["| | " + " | ".join(head for head, _, _ in columns) + " |", "|---|" + "---:|" * len(columns)]
    for contender in table.contenders:
        spreads = [(table.spread(contender, metric), digits) for _, metric, digits in columns]
        cells = [found.text(digits) if found else "-" for found, digits in spreads]
        mark = " (INVALID)" if table.invalid(contender) else ""
        lines.append(f"| {contender}{mark} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ratios(table: Table) -> str:
    lines = ["| | | goal |", "|---|---:|---|"]
    for ratio in RATIOS:
        found = table.ratio(ratio)
        if found:
            lines.append(f"| {ratio.label} | {found.text(2)} | {ratio.goal(found.median)} |")
    for limit in LIMITS:
        found = None if table.invalid(limit.of[0]) else table.spread(*limit.of)
        if found:
            lines.append(f"| {limit.label} | {found.text(limit.digits)} | {limit.goal(found)} |")
    return "\n".join(lines) if len(lines) > 2 else "No pair of contenders to compare."


def _remarks(about: dict[str, object], table: Table, absent: dict[str, str]) -> list[str]:
    lines = [
        str(about["disk"]),
        *noise(table),
        *(f"- left out: {name}: {reason}" for name, reason in absent.items()),
    ]
    for contender in table.contenders:
        lines.extend(f"- INVALID {contender}: {reason}" for reason in table.invalid(contender))
        lines.extend(f"- {contender}: {note}" for result in table.rounds(contender) for note in result.notes)
    return ["\n".join(lines)] if lines else []


def noise(table: Table) -> list[str]:
    """Return a remark where other programs used the machine."""
    used = [v for r in table.results for name, v in r.metrics.items() if name.endswith(".others_cores")]
    noisy = [value for value in used if value > OTHERS_LIMIT]
    if not noisy:
        return []
    share = f"{len(noisy)} of {len(used)} measurements"
    meaning = "latencies and requests/s mean little then, ratios of CPU a little more"
    return [f"- NOISY: other programs used up to {max(noisy):.1f} cores during {share}; {meaning}."]


def plots(table: Table, rates: tuple[float, ...], folder: Path) -> list[Path]:
    """Draw CPU an event, requests/s and p99 by rate; return the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("p99-*.svg"):  # of rates that were not offered this time
        old.unlink()
    good = [name for name in table.contenders if not table.invalid(name)]
    charts = {
        "cpu.svg": svg.bars(
            "CPU an event at saturation: user, sys (µs)", _rows(table, good, "sat.cpu_us", "sat.user_us")
        ),
        "requests.svg": svg.bars("Requests/s through nginx at saturation", _rows(table, good, "sat.rps")),
    }
    for rate in rates:
        title = f"p99 at {rate:,.0f} requests/s offered (ms)"
        charts[f"p99-{rate:g}.svg"] = svg.bars(title, _rows(table, good, f"{rate:g}.p99_ms"))
    for name, text in charts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in charts]


def _rows(table: Table, names: list[str], metric: str, part: str | None = None) -> list[svg.Row]:
    rows = []
    for name in names:
        whole = table.spread(name, metric)
        first = table.spread(name, part) if part else None
        if whole:
            rows.append(
                svg.Row(name, whole.median, whole.low, whole.high, first.median if first else whole.median)
            )
    return rows
