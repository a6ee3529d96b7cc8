"""Samples over time as SVG: a panel a measure, and a mark where something was done to the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.commands.soak.sampling import Sample

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 900, 90, 26, 70, 20, 50
LINE, MARK, TEXT = "#2f6f9f", "#c9a227", "#8a8a8a"
PANELS = {
    "rss_mib": "memory, MiB",
    "descriptors": "open descriptors",
    "threads": "threads",
    "tasks": "asyncio tasks",
    "spool_mib": "spool, MiB",
    "p50_ms": "latency p50, ms",
    "p99_ms": "latency p99, ms",
}


def plot(title: str, samples: Sequence[Sample], marks: Sequence[tuple[float, str]]) -> str:
    """`marks`: seconds, and what was done then; only Kafka's restarts are drawn, the rest is too many."""
    height = TOP + len(PANELS) * (PANEL + GAP)
    body = [_text(LEFT, 20, title, 15), _text(LEFT, 38, "yellow: Kafka restarted", 11)]
    longest = samples[-1].seconds or 1.0
    for number, (name, label) in enumerate(PANELS.items()):
        top = TOP + number * (PANEL + GAP)
        points = [(one.seconds / longest, float(getattr(one, name))) for one in samples]
        body += _panel(top, label, points)
        for seconds, what in marks:
            if what == "kafka":
                x = LEFT + seconds / longest * (WIDTH - LEFT - RIGHT)
                body.append(f'<path d="M{x:.1f} {top}v{PANEL}" stroke="{MARK}" stroke-width="1"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">\n' + "\n".join(body) + "\n</svg>\n"
    )


def _panel(top: int, label: str, points: Sequence[tuple[float, float]]) -> list[str]:
    """From zero, so that what looks flat is flat."""
    most = max(value for _, value in points) or 1.0
    places = [
        f"{LEFT + x * (WIDTH - LEFT - RIGHT):.1f},{top + PANEL * (1 - value / most):.1f}"
        for x, value in points
    ]
    frame = f"M{LEFT} {top}v{PANEL}h{WIDTH - LEFT - RIGHT}"
    return [
        f'<path d="{frame}" stroke="{TEXT}" fill="none"/>',
        f'<polyline points="{" ".join(places)}" fill="none" stroke="{LINE}" stroke-width="1.5"/>',
        _text(8, top + 10, f"{most:,.1f}", 11),
        _text(LEFT + 6, top + 12, label, 12),
    ]


def _text(left: float, base: float, text: str, size: int) -> str:
    return f'<text x="{left:.0f}" y="{base:.0f}" font-size="{size}" fill="{TEXT}">{escape(text)}</text>'
