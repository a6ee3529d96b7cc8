"""README and conf/ against the code, in both directions."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from ingestd import config
from ingestd.admin import metrics
from ingestd.admin.server import MAX_CONNECTIONS
from ingestd.cli import main
from ingestd.http.connection import MAX_PIPELINE, MAX_TURNED_AWAY
from ingestd.http.fd_limit import RESERVED
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.counters import MAX_MACRO_NAME, MAX_MACRO_PARAMS, Accounts
from ingestd.pipeline.subscribers import MAX_FOLLOWERS
from ingestd.sources.body import MAX_EVENTS, MAX_MEMBERS
from ingestd.sources.event_schema import JSON_SCHEMA
from ingestd.system.log import REPEATS_PER_MINUTE
from tests.support import commands

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PRODUCTION = (ROOT / "conf" / "ingestd.toml").read_text("utf-8")


def exposed_metrics() -> set[str]:
    everything = {
        name: 0.0 for group in (metrics.GAUGES, metrics.FILE_GAUGES, metrics.KAFKA_GAUGES) for name in group
    }
    counters: defaultdict[str, float] = defaultdict(float)
    for group in (metrics.COUNTERS, metrics.FILE_COUNTERS, metrics.KAFKA_COUNTERS, metrics.BOTH_COUNTERS):
        counters.update(dict.fromkeys(group, 0.0))
    accounts = Accounts()
    accounts.account("any")
    collector = metrics.IngestCollector(
        accounts, BatchMetrics(), lambda: everything, lambda: counters, "0", "file"
    )
    return {family.name + ("_total" if family.type == "counter" else "") for family in collector.collect()}


def test_the_readme_lists_every_metric_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(ingestd_[a-z_]+)` \|", README, re.MULTILINE))
    assert listed == exposed_metrics()


def test_every_metric_the_readme_speaks_of_exists() -> None:
    spoken_of = set(re.findall(r"`(ingestd_[a-z_]+)(?:\{[^`]*\})?[^`]*`", README))
    assert spoken_of <= exposed_metrics()


COMMANDS = {
    " ".join(words): command
    for words in commands.every(main)
    if not isinstance(command := commands.named(main, *words), click.Group)
}


def test_the_readme_lists_every_command_and_no_other() -> None:
    listed = set(re.findall(r"^\| `ingestd ([a-z-]+(?: [a-z]+)?)[^`]*` \|", README, re.MULTILINE))
    assert listed == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name: str) -> None:
    assert "Example:\n" in (COMMANDS[name].help or "")


def written_commands() -> list[list[str]]:
    """Every `ingestd ...` in the README's shell blocks, as words."""
    found: list[list[str]] = []
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
            lexer.whitespace_split = True
            for operator, group in itertools.groupby(lexer, lambda word: set(word) <= set("&|;")):
                words = [word for word in group if not word.startswith("INGESTD_")]
                if not operator and words and Path(words[0]).name == "ingestd":
                    found.append(words[1:])
    return found


@pytest.mark.parametrize("words", written_commands(), ids=" ".join)
def test_every_command_the_readme_tells_to_type_can_be_typed(words: list[str]) -> None:
    """It exists, and has these options."""
    command: click.Command = main
    while isinstance(command, click.Group):
        command = commands.named(command, words.pop(0))
    command.make_parser(click.Context(command)).parse_args(words)


def test_the_readme_tells_to_type_commands() -> None:
    """So that the test before this one has something to look at."""
    assert len(written_commands()) > 20


def test_the_readme_describes_every_field_of_the_event() -> None:
    table = README.partition("## For analysts")[2]
    described = {
        name
        for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert set(JSON_SCHEMA["properties"]) <= described


def keys_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_of(part))), None)


SECTIONS = {name: model_of(field.annotation) for name, field in config.Config.model_fields.items()}


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_the_production_file_names_every_key_of_every_section(section: str) -> None:
    model = SECTIONS[section]
    assert model is not None
    header = rf"^(?:# )?\[+{section}\]+$"
    text = re.split(header, PRODUCTION, flags=re.MULTILINE)[1]
    text = re.split(r"^(?:# )?\[", text, flags=re.MULTILINE)[0]
    named = set(re.findall(r"^(?:# )?([a-z_]+) = ", text, re.MULTILINE))
    assert named == keys_of(model)


def test_what_is_commented_out_in_the_production_file_is_the_default() -> None:
    shown = re.sub(r"^# (?=(\[|[a-z_]+ = ))", "", PRODUCTION, flags=re.MULTILINE)
    shown = shown.replace('instance = "<host name>"', 'instance = "host"')
    tree = tomllib.loads(shown)
    del tree["ingest"]["profile_directory"]  # an example: there is none here
    tree["source"] = [{"name": "demo", "path": "/c/demo"}]
    defaults = config.parse(
        {"kafka": {"bootstrap": ["k:1"]}, "file": {}, "source": tree["source"]}, str(ROOT / "conf/x.toml"), {}
    )
    chosen = {
        "ingest": {"socket_group", "instance", "public_base", "profile_directory"},
        "file": {"compress", "keep_days", "keep_bytes"},
        "kafka": {"bootstrap", "dead_letter_topic", "security"},
    }
    for section, keys in tree.items():
        if section == "source":
            continue
        least: dict[str, Any] = {"kafka": {"bootstrap": ["k:1"]}, "file": {}, "source": tree["source"]}
        parsed = config.parse(least | {section: keys}, str(ROOT / "conf/x.toml"), {})
        for key in keys:
            if key not in chosen.get(section, set()):
                assert getattr(getattr(parsed, section), key) == getattr(getattr(defaults, section), key), key


@pytest.mark.parametrize("name", ["quickstart.toml", "ingestd.toml"])
def test_every_shipped_configuration_is_valid(name: str) -> None:
    assert config.load(ROOT / "conf" / name, {}).source


def test_the_top_level_holds_what_it_should() -> None:
    expected = {"pyproject.toml", "ingestd", "conf", "systemd", "nginx", "bench", "tests", "README.md"}
    beside = {"LICENSE", "CHANGELOG.md"}
    ignored = {"var", "build", "dist", "ingestd.egg-info"}
    found = {entry.name for entry in ROOT.iterdir() if not entry.name.startswith(".")}
    assert expected <= found
    assert found - expected - beside <= ignored


PROFILES = sorted(path.stem for path in (ROOT / "ingestd" / "config" / "profiles").glob("*.toml"))


def test_the_readme_has_a_row_for_every_profile_and_no_other() -> None:
    table = README.partition("## For ad operations")[2].partition("Links for")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == PROFILES


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "generic"])
def test_the_readme_has_the_link_the_command_prints(name: str, tmp_path: Path) -> None:
    (tmp_path / "akey").write_text("a key\n")
    folder = "p" if name in {"adjust", "appsflyer", "postback"} else "c"
    key = 'signature = { key_file = "akey" }' if name in {"baidu", "xiaomi"} else ""
    text = f'[ingest]\npublic_base = "https://click.example.com"\n[[source]]\nname = "{name}"\n'
    (tmp_path / "c.toml").write_text(text + f'path = "/{folder}/{name}"\nprofile = "{name}"\n{key}\n')
    arguments = ["sources", "-c", str(tmp_path / "c.toml"), "--links"]
    arguments += ["--base", "https://click.example.com", "--route", "app42"]
    printed = CliRunner().invoke(main, arguments, catch_exceptions=False).output
    [link] = re.findall(r"^ *(https://\S+)", printed, re.MULTILINE)
    assert f"\n{link}\n" in README


def test_every_setting_the_readme_names_exists() -> None:
    named = re.findall(r"`(ingest|buffer|flush|file|kafka|spool|admin|log)\.([a-z_]+)`", README)
    assert len(named) > 10
    for section, key in named:
        model = SECTIONS[section]
        assert model is not None
        assert key in keys_of(model), f"{section}.{key}"


def test_the_caps_the_readme_tells_are_the_codes() -> None:
    caps = README.partition("## Security")[2].partition("## How fast")[0]
    for row in (
        f"the limit of open files less {RESERVED} | 503; of a flood {MAX_TURNED_AWAY} are told",
        f"`ingest.max_inflated`; {MAX_EVENTS:,}; {MAX_MEMBERS} |",
        f"| requests waiting in one connection | {MAX_PIPELINE} |",
        f"| sources, with those a reload took away | {config.MAX_SOURCES:,} |",
        f"| {MAX_MACRO_PARAMS} names of {MAX_MACRO_NAME} characters |",
        f"| the same log line | {REPEATS_PER_MINUTE} a minute |",
        f"| admin connections, followers of events | {MAX_CONNECTIONS}, {MAX_FOLLOWERS} |",
    ):
        assert row in caps
