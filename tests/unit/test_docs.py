"""The documents against the code, in both directions; and their form: links, lengths, commands."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
from functools import cache
from pathlib import Path

import click
import jsonschema
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from ingestd import config
from ingestd.admin.server import MAX_CONNECTIONS
from ingestd.cli import main
from ingestd.config.messages import model_at
from ingestd.config.source import MAX_KEYS, MAX_WINDOW, SourceConfig
from ingestd.http.connection import MAX_PIPELINE, MAX_REFUSED
from ingestd.http.fd_limit import RESERVED
from ingestd.http.responses import REFUSALS
from ingestd.pipeline.counters import MAX_MACRO_NAME, MAX_MACRO_PARAMS
from ingestd.pipeline.subscribers import MAX_SUBSCRIBERS
from ingestd.sources.body import MAX_MEMBERS
from ingestd.sources.event_schema import JSON_SCHEMA
from ingestd.sources.reply import MAX_ECHO
from ingestd.sources.verification import MAX_OF_SOURCE, MAX_WAITING
from ingestd.system.log import MAX_UNREAD, REPEATS_PER_MINUTE
from tests.support import commands, documents
from tests.support.documents import ROOT, names, read, rows, section
from tests.support.exposed import exposed_metrics
from tests.support.ranks import PACKAGE, RANKS
from tests.support.texts import texts

DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in documents.documents()}
# Pages with a date are records: what they name may have gone since.
LIVING = {name: text for name, text in DOCUMENTS.items() if not name.startswith(("findings/", "CHANGELOG"))}
CONF, OPS, ANALYSTS, CODE = "conf/README.md", "systemd/README.md", "conf/analysts.md", "ingestd/README.md"


# form


def test_there_is_a_document_for_each_reader() -> None:
    assert {"README.md", CONF, OPS, ANALYSTS, CODE, "nginx/README.md", "bench/README.md", "tests/README.md",
            "findings/README.md", "CHANGELOG.md"} <= set(DOCUMENTS)  # fmt: skip


def test_the_first_page_is_short() -> None:
    assert len(DOCUMENTS["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("name", DOCUMENTS)
def test_lines_are_wrapped(name: str) -> None:
    long = [number for number, line in documents.prose(DOCUMENTS[name]) if len(line) > 120]
    long += [number for number, line in enumerate(DOCUMENTS[name].splitlines(), 1) if len(line) > 400]
    assert long == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_table_cell_has_at_most_a_sentence(name: str) -> None:
    """No full stop within it, and no semicolon after which a third thought begins."""
    cells = [re.sub(r"`[^`]*`", "x", cell) for row in rows(DOCUMENTS[name]) for cell in row]
    assert [cell for cell in cells if re.search(r"[a-z0-9)x][.!?] +[A-Z]", cell) or cell.count(";") > 1] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for link in documents.links(DOCUMENTS[name]):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in documents.anchors(path.read_text("utf-8")), f"{name}: {link}"


def test_every_document_can_be_reached_from_the_first_page() -> None:
    reached, waiting = set[str](), ["README.md"]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in DOCUMENTS:
            continue
        reached.add(name)
        for link in documents.links(DOCUMENTS[name]):
            path = ((ROOT / name).parent / link.partition("#")[0]).resolve()
            if path.is_relative_to(ROOT):
                waiting.append(str(path.relative_to(ROOT)))
    assert reached == set(DOCUMENTS)


_FILE = re.compile(r"[\w.@<>*-]+(?:/[\w.@*-]+)+\.(?:py|c|h|md|toml|txt|yml|json|conf|tsv)|(?:[\w-]+/)+")


@pytest.mark.parametrize("name", LIVING)
def test_files_a_document_names_exist(name: str) -> None:
    """Named from the root of the repository, or from the document's folder."""
    spans = [span for _, line in documents.outside_fences(LIVING[name]) for span in names(line)]
    folder = (ROOT / name).parent
    for span in spans:
        if _FILE.fullmatch(span) and "<" not in span:
            assert (ROOT / span).exists() or (folder / span).exists() or span in OUTSIDE, f"{name}: {span}"


# Files and folders of a host or a data directory, not of the repository.
OUTSIDE = {"dead/", "spool/", "secrets/", "results/latest.json"}


def test_the_top_level_holds_what_it_should() -> None:
    expected = {"pyproject.toml", "ingestd", "conf", "systemd", "nginx", "bench", "tests", "README.md",
                "findings"}  # fmt: skip
    beside = {"LICENSE", "CHANGELOG.md"}
    ignored = {"var", "build", "dist", "ingestd.egg-info"}
    found = {entry.name for entry in ROOT.iterdir() if not entry.name.startswith(".")}
    assert expected <= found
    assert found - expected - beside <= ignored


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.startswith("findings/")])
def test_a_finding_has_a_date_and_the_command_that_printed_it(name: str) -> None:
    if name.endswith("README.md"):
        return
    assert re.search(r"^Dates?: 20\d\d-\d\d-\d\d", DOCUMENTS[name], re.MULTILINE)
    assert list(documents.shell_lines(DOCUMENTS[name]))


def test_every_finding_is_in_the_index() -> None:
    listed = {re.sub(r"\[.*\]\((.*)\)", r"findings/\1", row[0]) for row in rows(read("findings/README.md"))}
    assert listed == {name for name in DOCUMENTS if re.fullmatch(r"findings/(?!README)[\w-]+\.md", name)}


def test_every_script_of_the_findings_is_in_the_index_has_a_date_and_can_be_run() -> None:
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    assert [name for name in documents.links(read("findings/README.md")) if name.endswith(".sh")] == [
        path.name for path in scripts
    ]
    for path in scripts:
        assert os.access(path, os.X_OK), path
        assert re.search(r"[Ss]hown on 20\d\d-\d\d-\d\d", path.read_text("utf-8")), path


def test_every_surprise_is_in_its_index() -> None:
    listed = [documents.links(row[0])[0] for row in rows(read("findings/surprises/README.md"))]
    assert sorted(listed) == sorted(path.name for path in (ROOT / "findings" / "surprises").glob("*.py"))


# metrics and alerts


def test_every_metric_is_listed_with_its_help_and_no_other() -> None:
    table = rows(section(CONF, "## Metrics"))
    listed = [names(row[0])[0] for row in table]
    assert sorted(listed) == sorted(exposed_metrics())
    for row in table:
        plain = row[1].replace("`", "").removeprefix("Histogram: ").removesuffix(".")
        assert exposed_metrics()[names(row[0])[0]] == plain[0].upper() + plain[1:]


@pytest.mark.parametrize("name", LIVING)
def test_every_metric_a_document_speaks_of_exists(name: str) -> None:
    assert set(re.findall(r"`(ingestd_[a-z_]+)(?:\{[^`]*\})?`", LIVING[name])) <= exposed_metrics().keys()


def test_every_alert_is_listed_and_no_other() -> None:
    rules = read("conf/prometheus/ingestd.rules.yml")
    wanted = re.findall(r"- alert: (\w+)\n(?:.*\n)+? +labels: \{severity: (\w+)\}", rules)
    listed = [(names(row[0])[0], row[1]) for row in rows(section(CONF, "## Alerts and dashboard"))]
    assert sorted(listed) == sorted(wanted)


# commands


COMMANDS = {
    " ".join(words): command
    for words in commands.every(main)
    if not isinstance(command := commands.named(main, *words), click.Group)
}


def test_every_command_is_listed_and_no_other() -> None:
    listed = [
        re.sub(r"^ingestd | [A-Z]+$", "", names(row[0])[0]) for row in rows(section(OPS, "## Commands"))
    ]
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name: str) -> None:
    assert "Example:\n" in (COMMANDS[name].help or "")


def typed_commands() -> list[tuple[str, list[str]]]:
    """Every `ingestd ...` in blocks of shell, and between backticks, with the document it is in."""
    found = []
    for name, text in LIVING.items():
        spans = [span for _, line in documents.outside_fences(text) for span in names(line)]
        for line in [*documents.shell_lines(text), *(span for span in spans if span.startswith("ingestd "))]:
            for words in documents.commands(line):
                if Path(words[0]).name == "ingestd" and words[1:2] != ["COMMAND"]:
                    found.append((name, words[1:]))
    return found


@pytest.mark.parametrize(
    ("name", "words"), typed_commands(), ids=lambda one: " ".join(one) if isinstance(one, list) else one
)
def test_every_command_a_document_tells_to_type_can_be_typed(name: str, words: list[str]) -> None:
    """It exists, and has these options."""
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        command = commands.named(command, words.pop(0))
    with contextlib.suppress(click.MissingParameter, click.BadOptionUsage):  # prose may leave values out
        command.make_parser(click.Context(command)).parse_args(words)


def test_the_documents_tell_to_type_commands() -> None:
    """So that the test before this one has something to look at."""
    assert len(typed_commands()) > 40


def runnable() -> set[str]:
    """The modules under tests/ that are commands."""
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        if re.search(r'^if __name__ == "__main__":', path.read_text("utf-8"), re.MULTILINE):
            found.add(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return found


def test_the_page_of_the_long_commands_lists_every_one_and_no_other() -> None:
    listed = set(re.findall(r"python -m (tests[\w.]*)", section("tests/README.md", "## The long commands")))
    started_by_others = {"tests.commands.fuzz.guided", "tests.support.losing.server"}
    assert listed == runnable() - started_by_others


@pytest.mark.parametrize("name", LIVING)
def test_programs_a_document_names_exist(name: str) -> None:
    for module in re.findall(r"python -m ((?:tests|bench)[\w.]*)", LIVING[name]):
        assert importlib.util.find_spec(module) is not None, module
    for program in re.findall(r"(?:^|`)((?:bench|tests|\.ci)/[a-z]+)(?=[ `]|$)", LIVING[name], re.MULTILINE):
        assert (ROOT / program).exists(), program


# events


def test_every_field_of_the_event_is_described_and_no_other() -> None:
    described = [name for row in rows(section(ANALYSTS, "## The event")) for name in names(row[0])]
    flags = [name for row in rows(section(ANALYSTS, "### Flags")) for name in names(row[0])]
    assert sorted(described) == sorted([*JSON_SCHEMA["properties"], *flags])


def test_the_example_of_an_event_is_one() -> None:
    [example] = re.findall(r"^```json\n(.*?)^```", read(ANALYSTS), re.MULTILINE | re.DOTALL)
    jsonschema.validate(json.loads(example), JSON_SCHEMA)


def test_every_flag_is_described_and_no_other() -> None:
    text = JSON_SCHEMA["properties"]["flags"]["description"]
    listed = re.sub(r" \([^)]*\)", "", text[text.index("macro:<param>") :]).split(", ")
    described = [name for row in rows(section(ANALYSTS, "### Flags")) for name in names(row[0])]
    assert sorted(described) == sorted(listed)


# settings, limits, responses


def keys_below(model: type[BaseModel], prefix: str) -> set[str]:
    """Dotted names of a model's keys, and of those of the models in it."""
    found = set()
    for name, field in model.model_fields.items():
        found.add(prefix + name)
        inner = model_at_field(field.annotation)
        if inner is not None:
            found |= keys_below(inner, f"{prefix}{name}.")
    return found


def model_at_field(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = getattr(annotation, "__args__", ())
    return next((found for part in parts if (found := model_at_field(part)) is not None), None)


@cache
def every_key() -> set[str]:
    """As `ingest.ack`, and a source's as `reply.pixel`."""
    found = keys_below(SourceConfig, "")
    for name in set(config.Config.model_fields) - {"source"}:
        found |= keys_below(model_at(config.Config, (name,)), f"{name}.")
    return found


SECTIONS = "|".join(
    (*(set(config.Config.model_fields) - {"source"}), "reply", "signature", "event_time", "on_overload")
)


def test_every_setting_the_documents_name_exists() -> None:
    named = {
        (name, key)
        for name, text in LIVING.items()
        for key in re.findall(rf"[`<]((?:{SECTIONS})(?:\.[a-z_]+)+)(?=[`> =])", text)
        if not key.endswith(".py")
    }
    assert len(named) > 40
    assert [one for one in sorted(named) if one[1] not in every_key()] == []


def test_the_limits_are_the_codes() -> None:
    """Those that are a setting name it; the others are the numbers in the code."""
    table = {row[0]: row[1] for row in rows(section(CONF, "## Limits"))}
    assert {what: limit for what, limit in table.items() if not re.fullmatch(r"`[a-z_.]+`", limit)} == {
        "connections": f"`ingest.max_connections`, and the limit of open files less {RESERVED}",
        "compressed pieces of a body": f"{MAX_MEMBERS}",
        "requests waiting on one connection": f"{MAX_PIPELINE}",
        "sources, with those a reload has removed": f"{config.MAX_SOURCES:,}",
        "key files of a source": f"{MAX_KEYS}",
        "requests that wait for a public key": f"{MAX_OF_SOURCE} of a source, {MAX_WAITING:,} in all",
        "a value that a response repeats": f"{MAX_ECHO} characters",
        "a source's `dedup_window`": f"{MAX_WINDOW:,} events",
        "a source's macro labels": f"{MAX_MACRO_PARAMS} names of {MAX_MACRO_NAME} characters",
        "the same log line": f"{REPEATS_PER_MINUTE} a minute",
        "log lines that nobody reads from stderr": f"{MAX_UNREAD // 1024} KiB",
        "admin connections": f"{MAX_CONNECTIONS}",
        "subscribers of `/tail`": f"{MAX_SUBSCRIBERS}",
    }
    assert f"503 for up to {MAX_REFUSED} of them" in section(CONF, "## Limits")


def test_every_reason_has_its_status_in_the_table_of_responses_and_no_other() -> None:
    table = rows(section(CONF, "## How ingestd answers"))
    listed = [(names(row[0])[0], int(row[1])) for row in table if row[1].isdigit()]
    assert sorted(listed) == sorted((reason, refusal.status) for reason, refusal in REFUSALS.items())


def test_log_lines_the_documents_quote_are_in_the_code() -> None:
    said = {text.text for text in texts() if text.kind == "log"}
    quoted = set(re.findall(r"\blog `([^`]+)`", "\n".join(LIVING.values())))
    assert len(quoted) > 5
    assert quoted <= said


# platforms

PROFILES = sorted(path.stem for path in (PACKAGE / "config" / "profiles").glob("*.toml"))


def source_of(profile: str) -> SourceConfig:
    tree = {"source": [{"name": profile, "path": "/c", "profile": profile}]}
    return config.parse(tree, str(ROOT / "conf" / "any.toml"), {}).source[0]


def test_every_profile_has_its_row_and_no_other() -> None:
    listed = [names(row[0])[0] for row in rows(section(CONF, "## Platforms and links"))]
    assert sorted(listed) == PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_the_row_of_a_profile_says_what_is_in_it(profile: str) -> None:
    source = source_of(profile)
    [row] = [row for row in rows(section(CONF, "## Platforms and links")) if row[0] == f"`{profile}`"]
    _, title, click_id, time, response, _, bring = row
    assert title == source.title
    assert names(click_id) == list(source.dedup)
    assert names(time) == ([source.event_time.param] if source.event_time else [])
    body = source.reply.body
    assert response == f"{source.reply.status} `{body}`" if body else f"{source.reply.status}, empty"
    assert set(names(bring)) - {"sign"} == set(source.mandatory)


# Addresses that the platform's own rule makes, without a route.
FIXED_PATHS = {
    "apple_aak": "/.well-known/appattribution/report-attribution",
    "apple_skan": "/.well-known/skadnetwork/report-attribution",
}


def printed_link(profile: str, place: Path) -> str:
    (place / "akey").write_text("a key\n")
    source = source_of(profile)
    path = FIXED_PATHS.get(profile, f"/{'p' if source.type == 'postback' else 'c'}/{profile}")
    key = 'signature = { key_file = "akey" }' if profile in {"baidu", "xiaomi", "levelplay"} else ""
    text = f'[ingest]\npublic_base = "https://click.example.com"\n[[source]]\nname = "{profile}"\n'
    (place / "c.toml").write_text(text + f'path = "{path}"\nprofile = "{profile}"\n{key}\n')
    arguments = ["sources", "-c", str(place / "c.toml"), "--links", "--base", "https://click.example.com"]
    arguments += [] if profile in FIXED_PATHS else ["--route", "app42"]
    printed = CliRunner().invoke(main, arguments, catch_exceptions=False).output
    [link] = re.findall(r"^ *(https://\S+)", printed, re.MULTILINE)
    return str(link)


def test_the_file_of_links_has_those_the_command_prints_and_no_other(tmp_path: Path) -> None:
    wanted = []
    for profile in (name for name in PROFILES if name != "generic"):
        wanted += [f"# {profile}: {source_of(profile).title}", printed_link(profile, tmp_path)]
    text = read("conf/links.txt")
    pairs = re.findall(r"^(# [\w]+: .+)\n(https://\S+)$", text, re.MULTILINE)
    assert sorted(line for pair in pairs for line in pair) == sorted(wanted)
    assert text.count("https://") == len(pairs) + 1  # one in the head


# the code's own page


def test_the_page_of_the_code_has_the_ranks_of_the_rooms() -> None:
    table = section(CODE, "## The rooms").partition("\n### ")[0]
    listed = {
        name.strip("/").removesuffix(".py"): int(row[0]) for row in rows(table) for name in names(row[1])
    }
    wanted = {room: rank for room, rank in RANKS.items() if room not in ("ingestd", "_build", "__main__")}
    assert listed == wanted


def listed_files() -> list[str]:
    """The files listed room by room, from the package's root."""
    found = []
    for block in re.split(r"^### ", section(CODE, "## The rooms"), flags=re.MULTILINE)[1:]:
        [room] = [name for name in names(block.splitlines()[0]) if name.endswith("/")] or [""]
        found += [room + name for row in rows(block) for name in names(row[0]) if not name.endswith("/")]
    return found


def test_every_module_is_listed_in_its_room_and_no_other() -> None:
    """A newcomer finds the file from the page; one that is added, renamed or removed changes it."""
    listed = listed_files()
    there = {
        str(path.relative_to(PACKAGE))
        for pattern in ("*.py", "*.c", "*.h")
        for path in PACKAGE.rglob(pattern)
        if path.name != "__init__.py"
    }
    assert {"lacks": sorted(there - set(listed)), "invents": sorted(set(listed) - there)} == {
        "lacks": [], "invents": [],
    }  # fmt: skip
    assert len(listed) == len(set(listed))


def test_the_glossary_is_whole_and_in_order() -> None:
    terms = [row[0].strip("`") for row in rows(section(CODE, "## Glossary"))]
    assert 55 <= len(terms) <= 90
    assert terms == sorted(set(terms), key=str.lower)
