"""The sentences of `health`, read from health.toml, and how figures are written in English and Chinese."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

LANGUAGES = ("en", "zh")
# From the worst on. `note` does not change the colour.
BAD, WARN, NOTE, OK = "bad", "warn", "note", "ok"


class Text(NamedTuple):
    """One sentence in each of LANGUAGES; "" where there is nothing to say."""

    en: str = ""
    zh: str = ""


@dataclass(frozen=True, slots=True)
class Wording:
    """A finding in words: its level, what is seen, what it means and what to do."""

    level: str
    says: Text
    means: Text
    do: Text


def _wordings() -> dict[str, Wording]:
    tree = tomllib.loads((resources.files("ingestd.admin") / "health.toml").read_text("utf-8"))
    return {
        code: Wording(row["level"], *(Text(**row.get(name, {})) for name in ("says", "means", "do")))
        for code, row in tree.items()
    }


WORDINGS = _wordings()

# Parts of the sentence "All is well".
KEPT = {
    "file": Text("every answered click on disk", "已应答的点击全部落盘"),
    "spool": Text("every answered click on disk", "已应答的点击全部落盘"),
    "kafka": Text("every answered click in Kafka", "已应答的点击全部写入 Kafka"),
    "memory": Text("{unstored} in memory only (queued)", "{unstored} 次尚在内存（queued 模式）"),
}
BEHIND = Text(", Kafka {delay} behind", "，Kafka 落后 {delay}")
SINCE = Text(" for {time}", "（已 {time}）")
ROOM = Text(", room for {time}", "，空间还够 {time}")


def duration(seconds: float) -> Text:
    """A duration as people say it: two units at the most."""
    if seconds < 10:
        short = f"{max(seconds, 0):.1f}"
        return Text(f"{short} s", f"{short} 秒")
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if minutes < 1:
        return Text(f"{seconds:.0f} s", f"{seconds:.0f} 秒")
    if hours < 1:
        return Text(f"{minutes} min", f"{minutes} 分钟")
    if days < 2:
        return Text(f"{hours} h {minutes % 60} min", f"{hours} 小时 {minutes % 60} 分")
    return Text(f"{days} days", f"{days} 天")


def number(value: float) -> str:
    """A count or a rate: one decimal below ten."""
    return f"{value:.1f}" if 0 < value < 9.95 and value != int(value) else f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def share(value: float) -> str:
    """A proportion as a percentage."""
    return f"{100 * value:.0f} %"
