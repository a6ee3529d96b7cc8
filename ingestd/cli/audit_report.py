"""The findings of an audit, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import click
import orjson

from ingestd.event import ID_SLICE
from ingestd.tally import Key, Row, Rows, add_row, hour_text, rows_tree

# Exit statuses; a wrong command line ends with 2.
ALL_THERE, MISSING, REPEATED, NOTHING, INTERRUPTED = 0, 1, 3, 4, 130
VERDICTS = {
    ALL_THERE: "all there",
    MISSING: "NOT all as it was",
    REPEATED: "all there, some repeated",
    NOTHING: "NOTHING was looked at",
    INTERRUPTED: "interrupted",
}
NAMED_IDS = 5


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """`kind`: missing, extra, altered, repeated, chain, manifest. `where`: a file or a topic."""

    kind: str
    where: str
    what: str
    source: str | None = None
    hour: str | None = None
    events: int = 0

    def __str__(self) -> str:
        place = f" {self.source} {self.hour}" if self.source is not None else ""
        return f"{self.kind.upper()}  {self.where}{place}: {self.what}"


@dataclass
class AuditReport:
    """The outcome. `rows`: what the manifests say, summed. `unit`: what is counted by `places`."""

    unit: str
    places: int = 0
    rows: Rows = field(default_factory=dict)
    findings: list[AuditFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def events(self) -> int:
        """The sum of the events over `rows`."""
        return sum(row.events for row in self.rows.values())

    @property
    def status(self) -> int:
        """The exit status: a key of VERDICTS."""
        if self.interrupted:
            return INTERRUPTED
        if any(finding.kind != "repeated" for finding in self.findings):
            return MISSING
        if self.findings:
            return REPEATED
        return ALL_THERE if self.events else NOTHING

    def expect(self, rows: Rows) -> None:
        """Add the rows of a manifest."""
        for key, row in rows.items():
            add_row(self.rows, key, *row.figures())

    def compare(self, where: str, expected: Rows, found: Rows) -> bool:
        """Name each source and hour that is not as its manifest says. Returns whether there was any."""
        before = len(self.findings)
        for key in sorted(expected.keys() | found.keys()):
            wanted, there = expected.get(key, Row()), found.get(key, Row())
            if wanted != there:
                self.findings.append(_difference(where, key, wanted, there))
        return len(self.findings) > before

    def show(self, *, as_json: bool) -> None:
        """Print the findings, the notes and the verdict; or all of it, with the rows, as one JSON object."""
        if as_json:
            tree = {
                "status": self.status, self.unit: self.places, "events": self.events,
                "findings": [asdict(one) for one in self.findings], "notes": self.notes,
                "hours": rows_tree(self.rows),
            }  # fmt: skip
            click.echo(orjson.dumps(tree, option=orjson.OPT_INDENT_2))
            return
        for finding in self.findings:
            click.echo(str(finding))
        for note in self.notes:
            click.echo(f"note: {note}")
        click.echo(f"{self.places} {self.unit}, {self.events} events, {VERDICTS[self.status]}")


def _difference(where: str, key: Key, wanted: Row, there: Row) -> AuditFinding:
    source, hour = key
    more = there.events - wanted.events
    if more < 0:
        kind, what = "missing", f"{-more} of {wanted.events} events are missing"
    elif more > 0:
        kind, what = "extra", f"{more} events more than the {wanted.events} of the manifest"
    elif wanted.hash != there.hash:
        kind, what = "altered", f"{wanted.events} events as in the manifest, but not the same ids"
    else:
        kind, what = "altered", f"the ids are there, in {there.bytes} bytes instead of {wanted.bytes}"
    return AuditFinding(kind, where, what, source, hour_text(hour), abs(more))


class Repeats:
    """Knows the ids of one file or topic: about 100 bytes of memory for each."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self.rows: Rows = {}  # the repeats' figures
        self._ids: dict[Key, list[str]] = {}

    def known(self, identity: int, line: bytes, key: Key) -> bool:
        """Whether the id has been here before; then it is counted."""
        if identity not in self._seen:
            self._seen.add(identity)
            return False
        add_row(self.rows, key, 1, len(line) + 1, identity)
        named = self._ids.setdefault(key, [])
        if len(named) < NAMED_IDS:
            named.append(line[ID_SLICE].decode("latin-1"))
        return True

    def findings(self, where: str) -> list[AuditFinding]:
        """One a source and hour."""
        return [
            AuditFinding(
                "repeated", where,
                f"{row.events} repeats, ids {', '.join(self._ids[key])}"
                + (", ..." if row.events > NAMED_IDS else ""),
                key[0], hour_text(key[1]), row.events,
            )
            for key, row in sorted(self.rows.items(), key=lambda item: item[0])
        ]  # fmt: skip
