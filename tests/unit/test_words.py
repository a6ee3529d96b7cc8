"""Plain English with the field's terms in all the package says: what is banned, what must be there.

Log lines, errors, metrics, help, command output and the docstrings of public names are read from the source
(`tests.support.texts`). The terms are those of the glossary in ingestd/README.md.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support import documents
from tests.support.documents import rows, section
from tests.support.texts import ROOT, Text, of_module, texts

# A pattern, and what to write instead. A sentence begins at the text's beginning, or behind a full stop.
BANNED: tuple[tuple[str, str], ...] = (
    (r"\b(?<![Tt]here )(?:is|are) no\b(?! (?:longer|more|less))", '"is not a", "are not", "is not valid"'),
    (r"there (?:is|are) none\b|\bwhere there is no one\b", "name what is missing"),
    (r"\banew\b", '"again", "retry", "renewed"'),
    (r"\bbur(?:y|ies|ied)\b", '"dead-letter"'),
    (r"\blegs?\b", '"sink" (of the fan-out)'),
    (r"\bhomeless\b", '"undeliverable", or the reason'),
    (r"\b(?:file|spool) keep(?:ing|er)\b|\bthe keeper\b|\bKeeping\b", '"state", "file maintenance"'),
    (r"\btroubles?\b", '"error", "reason"'),
    (r"\bpatien(?:ce|t|tly)\b", '"timeout"'),
    (r"\b(?<!ad )(?<!advertiser )accounts?\b", '"counters"'),
    (r"\bset(?:s|ting)? aside\b|\bsets? apart\b", '"quarantine"'),
    (r"\bfollowers?\b", '"subscriber"'),
    (r"\bturn(?:s|ed)? away\b", '"refuse", "reject"'),
    (r"\bas good as a password\b", '"credential"'),
    (r"\b[Kk]afka(?:'s)? (?:is|being|was|stays) away\b|\bcollector is away\b", '"unreachable"'),
    (r"\btwins?\b", '"another process", "another producer"'),
    (r"\b(?:held|hold|holds) (?:\w+ )*against\b", '"compare with", "check against"'),
    (r"\bmend(?:s|ed|ing)?\b", '"repair", "fix"'),
    (r"\b(?:can(?:not)?|to) be had\b", '"available", "unavailable"'),
    (r"\bthe careful way\b", '"the general path"'),
    (r"\b(?:is|are|be) told of\b", '"is reported"'),
    (r"(?:^|[.!] )So (?:long|many|much)\b", '"Seconds to ...", "How many ..."'),
    (r"(?:^|[.!] |\n\n)What\b[^?]*?(?:[.:]|$)", "a noun as the subject: not \"What of a request is signed\""),
    (r"(?:^|[.!] )Of (?:one|a|the|an|all)\b", "a noun as the subject"),
    (r"^(?:Pass on|As JSON|As it is)\.$", "units, shapes, errors; or nothing"),
)  # fmt: skip
# An operator who searches logs, errors, help and metrics for one of these must find it.
FINDABLE: dict[str, str] = {
    "retry": r"\bretr(?:y|ies|ied|ying)\b",
    "unreachable": r"\bunreachable\b",
    "graceful shutdown": r"\bgraceful(?:ly)? (?:shutdown|stop)\b",
    "back-pressure": r"\bback-?pressure\b",
    "dead letter": r"\bdead[- ]letter(?:s|ed)?\b",
    "quarantine": r"\bquarantined?\b",
    "checkpoint": r"\bcheckpoint\b",
}
# A list that only becomes shorter: files with banned words in them, and terms that cannot be found yet.
NOT_YET = Path(__file__).with_name("words_not_yet.txt")
SHORT = 4  # words of a docstring that says nothing, unless it names an error, a unit or a value


def not_yet() -> set[str]:
    lines = NOT_YET.read_text("utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def problems(text: Text) -> list[str]:
    """What is wrong with a text, with what to write instead."""
    found = [
        f"{text.path}:{text.line}: {text.kind}: {match[0].strip()!r}: write {instead}"
        for pattern, instead in BANNED
        if (match := re.search(pattern, text.text))
    ]
    if text.kind == "docstring" and _says_nothing(text.text):
        found.append(
            f"{text.path}:{text.line}: docstring: {text.text!r}: say units, shapes, errors, or drop it"
        )
    return found


def _says_nothing(text: str) -> bool:
    return len(text.split()) <= SHORT and not re.search(r"Raises|[`\d:/(\[]", text)


def found_in_files() -> dict[str, list[str]]:
    by_file = defaultdict(list)
    for text in texts():
        for problem in problems(text):
            by_file[text.path].append(problem)
    return by_file


FOUND = found_in_files()
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "ingestd").rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_the_words_of_a_file_are_the_fields(path: str) -> None:
    """A file in words_not_yet.txt may have others; once it has none, its line must go."""
    if path in not_yet():
        assert path in FOUND, f"{path} has no banned word any more: take it out of {NOT_YET.name}"
    else:
        assert not FOUND.get(path, []), "\n".join(FOUND[path])


@pytest.mark.parametrize("term", FINDABLE)
def test_what_an_operator_searches_for_is_found(term: str) -> None:
    said = [
        text for text in texts() if text.kind != "docstring" and re.search(FINDABLE[term], text.text, re.I)
    ]
    if term in not_yet():
        assert not said, f"{term!r} is found now: take it out of {NOT_YET.name}"
    else:
        assert said, f"no log line, error, help or metric says {term!r}"


def written() -> dict[str, str]:
    """What is shipped beside the package and read by people: documents, and files with comments in them."""
    shipped = [
        path
        for folder in ("conf", "nginx", "systemd")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix != ".png"
    ]
    paths = [*documents.documents(), *(path for path in shipped if path.suffix not in (".md", ".pyc"))]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths if path.is_file()}


# A sentence's form is looked at in the package alone: here it may be a list item or half a table.
WORDS = [(pattern, instead) for pattern, instead in BANNED if not pattern.startswith(("(?:^|[.!] ", "^"))]


@pytest.mark.parametrize("name", written())
def test_the_words_of_what_is_shipped_are_the_fields(name: str) -> None:
    text = written()[name]
    lines = documents.outside_fences(text) if name.endswith(".md") else enumerate(text.splitlines(), 1)
    said = [(number, re.sub(r"`[^`]*`", "`x`", line)) for number, line in lines]
    assert [
        f"{name}:{number}: {match[0].strip()!r}: write {instead}"
        for number, line in said
        for pattern, instead in WORDS
        if (match := re.search(pattern, line))
    ] == []


def test_every_line_of_the_list_is_a_file_or_a_term() -> None:
    assert not_yet() <= {*FILES, *FINDABLE}


def test_every_findable_term_is_in_the_glossary() -> None:
    assert set(FINDABLE) <= {row[0].strip("`") for row in rows(section("ingestd/README.md", "## Glossary"))}


SAMPLE = '''
"""Keys that are read from a file anew."""
import logging
logger = logging.getLogger(__name__)

def shown(path: str) -> None:
    """Pass on."""
    logger.error("trouble with a leg", extra={"error": "patience is not looked at"})
    logger.warning(f"kafka is away: {path}")
    if path:
        raise ValueError(f"{path} is no directory")
    problems.append(Problem("key", "homeless", "mend it"))
    click.echo("is held against the manifests")

def _hidden() -> None:
    """Anew."""
'''


def test_each_kind_of_text_is_looked_at() -> None:
    """Log lines, errors, problems, output and docstrings; not what is private, nor a log line's fields."""
    found = [problem for text in of_module(SAMPLE, Path("sample.py")) for problem in problems(text)]
    wanted = ("anew", "Pass on.", "Pass on.", "trouble", "leg", "kafka is away", "is no", "homeless", "mend",
              "held against")  # fmt: skip
    assert sorted(problem.split("'")[1] for problem in found) == sorted(wanted)


@pytest.mark.parametrize("text", ["there is no room", "What is it?", "an ad account", "it is no longer open"])
def test_plain_english_passes(text: str) -> None:
    assert problems(Text("error", "any.py", 1, text)) == []
