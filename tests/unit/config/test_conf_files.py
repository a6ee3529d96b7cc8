"""The files in conf/: each can be used as it is, and what they say of defaults is so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ingestd import config
from ingestd.config.messages import model_at

CONF = Path(__file__).parents[3] / "conf"
FILES = sorted(CONF.glob("*.toml"))
# Keys whose comment shows an example, since their default is none, or another on every machine. A table of
# this kind is one whose keys are examples as well where they have no default.
EXAMPLES = {
    "ingest.instance", "ingest.public_base", "ingest.profile_directory",
    "kafka.bootstrap", "kafka.dead_letter_topic",
    "kafka.security.username_file", "kafka.security.password_file", "kafka.security.ca_file",
    "kafka.security.cert_file", "kafka.security.key_file",
    "source.event_time.param", "source.dedup", "source.volatile", "source.privacy_key_file",
    "source.signature.key_file", "source.reply.redirect.param", "source.reply.redirect.hosts",
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
        elif match := re.match(r"# ([a-z_.]+) = (.*)", line):
            found[f"{section}.{match[1]}"] = tomllib.loads(f"value = {match[2]}")["value"]
    return found


def shown() -> list[str]:
    """Every key of conf/ingestd.toml, in force or commented out."""
    tree = tomllib.loads((CONF / "ingestd.toml").read_text("utf-8"))
    tree["source"] = tree["source"][0]
    return [*commented(), *(f"{section}.{key}" for section, table in tree.items() for key in table)]


def model_in(annotation: object) -> type[BaseModel] | None:
    """The model a field holds, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_in(part)) is not None), None)


def fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """A model's keys by their dotted names; of a table the keys in it."""
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if inner is None:
            yield f"{prefix}{name}", field
        else:
            yield from fields(inner, f"{prefix}{name}.")


KEYS = {
    key: field
    for section in config.Config.model_fields
    for key, field in fields(model_at(config.Config, (section,)), f"{section}.")
}


def test_the_production_file_shows_every_key_once_and_no_other() -> None:
    """Those of tables within a section, `reply.redirect.hosts`, too."""
    assert sorted(shown()) == sorted(KEYS)


def test_an_example_is_a_key_the_file_shows() -> None:
    assert commented().keys() >= EXAMPLES


@pytest.mark.parametrize("key", sorted(commented().keys() - EXAMPLES))
def test_a_default_the_production_file_shows_is_the_default(key: str) -> None:
    default = KEYS[key].get_default(call_default_factory=True)
    value = commented()[key]
    assert list(default) == value if isinstance(value, list) else str(default) == str(value)


def test_the_whole_file_is_valid_with_every_comment_taken_off() -> None:
    """Each key as it is shown, all at once: what one copies out of it works."""
    text = (CONF / "ingestd.toml").read_text("utf-8")
    tree = tomllib.loads(re.sub(r"^# (?=(?:\[|[a-z_.]+ = ))", "", text, flags=re.MULTILINE))
    tree["ingest"]["instance"] = "host"
    del tree["ingest"]["profile_directory"]  # there is none here
    settings = config.parse(tree, str(CONF / "any.toml"), {})
    assert settings.source[0].reply.redirect is not None
    assert settings.kafka is not None
