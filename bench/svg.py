"""Horizontal bars with the spread over the rounds, as SVG that reads on light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, LABELS, VALUES, ROW, TOP = 760, 150, 150, 30, 44
DARK, LIGHT, LINE = "#2f6f9f", "#8fbcdb", "#8a8a8a"


@dataclass(frozen=True)
class Row:
    """One bar: its value, the spread around it, and how much of it is drawn dark."""

    label: str
    value: float
    low: float
    high: float
    dark: float


def bars(title: str, rows: list[Row]) -> str:
    """Return a chart of the rows, in their order; an empty chart says so."""
    return groups(title, [("", rows)])


def groups(title: str, parts: list[tuple[str, list[Row]]]) -> str:
    """Return a chart of several groups of rows on one scale, each under its heading if it has one."""
    everything = [row for _, rows in parts for row in rows]
    longest = max((row.high for row in everything), default=0.0)
    scale = (WIDTH - LABELS - VALUES) / longest if longest else 0.0
    body, top = [_text(10, 22, title, "start", 15)], TOP
    for heading, rows in parts:
        if heading:
            body.append(_text(10, top + 16, heading, "start", 13))
            top += ROW
        for row in rows:
            body.extend(_bar(row, top, scale))
            top += ROW
    if not everything:
        body.append(_text(10, TOP + 16, "no valid figures", "start", 13))
        top += ROW
    height = top + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">\n' + "\n".join(body) + "\n</svg>\n"
    )


def _bar(row: Row, top: float, scale: float) -> list[str]:
    middle = top + ROW / 2 - 3
    low, high = LABELS + row.low * scale, LABELS + row.high * scale
    ends = f"M{low:.1f} {middle - 5:.1f}v10M{high:.1f} {middle - 5:.1f}v10"
    return [
        _text(LABELS - 8, middle + 5, row.label, "end", 13),
        _box(LABELS, top, row.value * scale, LIGHT),
        _box(LABELS, top, row.dark * scale, DARK),
        f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}{ends}" stroke="{LINE}" stroke-width="2"/>',
        _text(high + 8, middle + 5, f"{row.value:,.{_digits(row.value)}f}", "start", 13),
    ]


def _digits(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2


def _box(left: float, top: float, width: float, colour: str) -> str:
    return f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{ROW - 6}" fill="{colour}"/>'


def _text(left: float, base: float, text: str, anchor: str, size: int) -> str:
    place = f'x="{left:.1f}" y="{base:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} fill="{LINE}">{escape(text)}</text>'
