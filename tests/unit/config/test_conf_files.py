"""The files in conf/: each can be used as it is, and what they say of defaults is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ingestd import config
from ingestd.config.messages import model_at

CONF = Path(__file__).parents[3] / "conf"
FILES = sorted(CONF.glob("*.toml"))
# Keys whose comment shows an example, since their default is none, or another on every machine.
EXAMPLES = {
    "ingest.instance", "ingest.public_base", "ingest.profile_directory",
    "kafka.bootstrap", "kafka.security", "kafka.dead_letter_topic",
    "source.event_time", "source.dedup", "source.volatile", "source.privacy_key_file",
}  # fmt: skip


def test_there_are_files() -> None:
    assert {path.name for path in FILES} >= {"quickstart.toml", "ingestd.toml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_can_be_used_as_it_is(path: Path) -> None:
    config.load(path, {})


def test_the_quickstart_only_says_where_things_are() -> None:
    settings = config.load(CONF / "quickstart.toml", {})
    assert settings.file is not None
    assert not settings.file.directory.is_absolute()
    plain = config.parse({"source": [settings.source[0].model_dump(exclude_unset=True)]}, "plain", {})
    for section in ("buffer", "flush", "log", "spool"):
        assert getattr(settings, section) == getattr(plain, section)


def commented() -> dict[str, Any]:
    """Every key of conf/ingestd.toml that is commented out: its dotted name and its value."""
    found: dict[str, Any] = {}
    section = ""
    for line in (CONF / "ingestd.toml").read_text("utf-8").splitlines():
        if match := re.match(r"#? ?\[+([a-z]+)\]+", line):
            section = match[1]
        elif match := re.match(r"# ([a-z_]+) = (.*)", line):
            found[f"{section}.{match[1]}"] = tomllib.loads(f"{match[1]} = {match[2]}")[match[1]]
    return found


def shown() -> set[str]:
    """Every key of conf/ingestd.toml, in force or commented out."""
    tree = tomllib.loads((CONF / "ingestd.toml").read_text("utf-8"))
    tree["source"] = tree["source"][0]
    return {*commented(), *(f"{section}.{key}" for section, table in tree.items() for key in table)}


def test_the_production_file_shows_every_key() -> None:
    known = set()
    for section in config.Config.model_fields:
        model = model_at(config.Config, (section,))
        known |= {f"{section}.{key}" for key in model.model_fields}
    assert shown() == known


@pytest.mark.parametrize("key", sorted(commented().keys() - EXAMPLES))
def test_a_default_the_production_file_shows_is_the_default(key: str) -> None:
    section, _, name = key.partition(".")
    model = model_at(config.Config, (section,))
    field = model.model_fields[name]
    default = field.get_default(call_default_factory=True)
    value = commented()[key]
    if isinstance(default, BaseModel):  # a table: what it shows of it is so, the rest is not shown
        assert {name: getattr(default, name) for name in value} == value
    else:
        assert list(default) == value if isinstance(value, list) else str(default) == str(value)
