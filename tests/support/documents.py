"""The project's documents, as the tests read them: text, tables, shell blocks, links, anchors."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What the benchmarks printed: generated, and not prose.
GENERATED = ROOT / "bench" / "results"
_FENCE = re.compile(r"^ *```")


def documents() -> list[Path]:
    """Every Markdown file of the repository that people wrote."""
    folders = ("ingestd", "conf", "systemd", "nginx", "bench", "tests", "findings")
    found = [*ROOT.glob("*.md"), *(path for folder in folders for path in (ROOT / folder).rglob("*.md"))]
    return sorted(path for path in found if GENERATED not in path.parents and not path.parent.is_symlink())


def read(name: str) -> str:
    """The text of a document, named from the root of the repository."""
    return (ROOT / name).read_text("utf-8")


def section(name: str, heading: str) -> str:
    """What stands under a heading (`## Limits`), to the next heading of its rank or above."""
    lines = read(name).splitlines(keepends=True)
    heads = {number: line.strip() for number, line in outside_fences("".join(lines)) if line.startswith("#")}
    [start] = [number for number, head in heads.items() if head == heading]
    after = (number for number, head in heads.items() if number > start and _rank(head) <= _rank(heading))
    return "".join(lines[start : next(after, len(lines) + 1) - 1])


def _rank(head: str) -> int:
    return len(head) - len(head.lstrip("#"))


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without heads and rules."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line.startswith("|") and not _is_rule(line) and not _is_rule(following):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def _is_rule(line: str) -> bool:
    return re.fullmatch(r"\|[-:| ]+\|", line) is not None


def names(cell: str) -> list[str]:
    """What a cell has between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, but for tables and fenced blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not line.lstrip().startswith("|"):
            yield number, line


def shell_lines(text: str) -> Iterator[str]:
    """The lines of every block of shell."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()


def first_shell_block(name: str, heading: str) -> list[str]:
    """The lines of the first block of shell under a heading."""
    return section(name, heading).partition("```sh\n")[2].partition("```")[0].splitlines()


def commands(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell, as words, without what is set for them in the environment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    for operator, group in itertools.groupby(lexer, lambda word: set(word) <= set("&|;")):
        words = list(itertools.dropwhile(lambda word: re.match(r"[A-Z_]+=", word), group))
        if not operator and words:
            yield words


def links(text: str) -> list[str]:
    """The targets of links outside fenced blocks."""
    plain = "\n".join(line for _, line in outside_fences(text))
    return re.findall(r"\]\(([^)\s]+)\)", plain)


def outside_fences(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, but for fenced blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(text: str) -> set[str]:
    """The anchors GitHub makes of the headings."""
    heads = [line.lstrip("#").strip() for _, line in outside_fences(text) if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
