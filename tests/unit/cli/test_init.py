"""`ingestd init`: a configuration that works as it is, whatever was asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingestd import config
from ingestd.cli import main
from ingestd.cli.init import HOST, _plan
from ingestd.cli.init_text import configuration
from ingestd.config.profiles import Profiles


def init(place: Path, *options: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, ["init", str(place), *options], input=typed)


def written(place: Path) -> config.Config:
    return config.load(place / "ingestd.toml", {})


def test_without_options_it_is_a_configuration_to_try_out(tmp_path: Path) -> None:
    done = init(tmp_path / "new" / "try")
    assert done.exit_code == 0, done.output
    settings = written(tmp_path / "new" / "try")
    assert [source.profile for source in settings.source] == ["generic"]
    assert settings.ingest.listen == ("tcp:127.0.0.1:8080",)
    assert settings.file is not None
    assert settings.file.directory == tmp_path / "new/try/var/clicks"
    assert (tmp_path / "new/try/secrets").stat().st_mode & 0o777 == 0o700
    assert settings.kafka is None


@pytest.mark.parametrize("profile", Profiles().names)
def test_every_profile_can_be_asked_for_and_its_link_is_printed(tmp_path: Path, profile: str) -> None:
    done = init(tmp_path, "--source", f"mine={profile}", "--base", "https://click.example.com/")
    assert done.exit_code == 0, done.output
    assert re.search(r"^  mine: https://click\.example\.com/c/mine/", done.output, re.MULTILINE)
    (source,) = written(tmp_path).source
    assert (source.name, source.path, source.profile) == ("mine", "/c/mine", profile)
    text = (tmp_path / "ingestd.toml").read_text()
    assert ("signature.key_file" in text) == (source.signature.kind != "none")


def test_kafka_replaces_files_unless_both_are_asked_for(tmp_path: Path) -> None:
    brokers = ("--kafka", "127.0.0.1:1", "--kafka", "127.0.0.1:2", "--topic", "clicks.new")
    assert init(tmp_path, *brokers).exit_code == 0
    settings = written(tmp_path)
    assert settings.kafka is not None
    assert settings.kafka.bootstrap == ("127.0.0.1:1", "127.0.0.1:2")
    assert (settings.kafka.topic, settings.file) == ("clicks.new", None)
    assert init(tmp_path, *brokers, "--files", "--force").exit_code == 0
    assert written(tmp_path).file is not None


def test_for_the_installed_service_it_is_that_ones_configuration() -> None:
    plan = _plan(HOST, [("ocean", "ocean")], "https://click.example.com", (), "clicks", files=True)
    text = configuration(plan)
    assert 'listen = "unix:/run/ingestd/ingestd.sock"' in text
    assert 'directory = "/var/lib/ingestd/clicks"' in text


def test_what_exists_is_not_replaced_unless_told_to(tmp_path: Path) -> None:
    (tmp_path / "ingestd.toml").write_text("# mine")
    refused = init(tmp_path)
    assert (refused.exit_code, "exists; --force replaces it" in refused.output) == (1, True)
    assert (tmp_path / "ingestd.toml").read_text() == "# mine"
    assert init(tmp_path, "--force").exit_code == 0
    assert (tmp_path / "ingestd.toml.old").read_text() == "# mine"


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--source", "ocaen"), 1, "unknown profile 'ocaen'; did you mean 'ocean'?"),
        (("--base", "click.example.com"), 78, "ingest.public_base: invalid value 'click.example.com'"),
        (("--kafka", "kafka1"), 78, "kafka.bootstrap"),
        (("--source", "A B=ocean"), 78, "source[0].name"),
        (("--source", "ocean", "--source", "ocean"), 78, "'ocean' is used by source[0] already"),
    ],
)
def test_a_wrong_option_writes_nothing(
    tmp_path: Path, options: tuple[str, ...], status: int, said: str
) -> None:
    done = init(tmp_path, *options)
    assert (done.exit_code, said in done.output) == (status, True), done.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_given_is_asked_for(tmp_path: Path) -> None:
    done = init(tmp_path, "--ask", typed="ocean, bili=bilibili\nhttps://click.example.com\n\n")
    assert done.exit_code == 0, done.output
    settings = written(tmp_path)
    assert [(source.name, source.profile) for source in settings.source] == [
        ("ocean", "ocean"), ("bili", "bilibili"),
    ]  # fmt: skip
    assert settings.ingest.public_base == "https://click.example.com"
    assert settings.file is not None


def test_the_profiles_can_be_listed(tmp_path: Path) -> None:
    done = init(tmp_path, "--list")
    assert {line.split()[0] for line in done.output.splitlines()} == set(Profiles().names)


def test_it_ends_with_the_next_commands(tmp_path: Path) -> None:
    done = init(tmp_path, "--source", "ocean")
    lines = done.output.partition("Next:\n")[2].splitlines()
    assert [line.split()[1] for line in lines] == ["serve", "tail", "send"]
    assert all(f"-c {tmp_path}/ingestd.toml" in line for line in lines)
