"""Secrets: read from files, and nowhere to be seen afterwards."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from ingestd import config
from ingestd.cli import main
from ingestd.config import secrets
from ingestd.config.secrets import SecretError
from ingestd.errors import ConfigError
from ingestd.pipeline.counters import Counters
from ingestd.sources import factory
from tests.support.platforms.cases import SAMPLES

KEY = "test-akey-0001="
TOKEN = "tok-5f3c9e"


def configure(place: Path, *, key: str | None = KEY) -> Path:
    if key is not None:
        (place / "baidu.key").write_text(key)
    (place / "token").write_text(TOKEN)
    file = place / "ingestd.toml"
    file.write_text(
        f"""
[ingest]
public_base = "https://trk.example.com"
listen = "unix:{place}/s"
[file]
directory = "{place}"
[[source]]
name = "baidu"
path = "/c/baidu"
profile = "baidu"
signature.key_file = "baidu.key"
privacy_key_file = "token"
privacy = {{ oaid = "hmac" }}
[[source]]
name = "net"
path = "/p/net"
signature = {{ kind = "token", place = "path", key_file = "token" }}
"""
    )
    return file


def test_a_file_may_hold_several_secrets_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"one=\r\n\n two words \nthree")
    assert [one.reveal() for one in secrets.read(file)] == [b"one=", b" two words ", b"three"]
    assert [one.origin for one in secrets.read(file)] == ["keys, line 1", "keys, line 3", "keys, line 4"]


def test_a_secret_is_found_where_the_daemon_is_given_it_from(tmp_path: Path) -> None:
    """Credentials first, then beside the configuration, then in secrets/ there; else it is missing beside."""
    given, name = tmp_path / "credentials", Path("key")
    (tmp_path / "secrets").mkdir()
    given.mkdir()
    environ = {"CREDENTIALS_DIRECTORY": str(given)}
    assert secrets.locate(name, tmp_path, environ) == tmp_path / "key"
    for place in (tmp_path / "secrets", tmp_path, given):
        (place / "key").write_text("k\n")
        assert secrets.locate(name, tmp_path, environ) == place / "key"
    assert secrets.locate(tmp_path / "secrets" / "key", given, environ) == tmp_path / "secrets" / "key"


@pytest.mark.parametrize("content", [None, "", "\n\r\n"])
def test_a_file_without_a_secret_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SecretError, match=f"{file}: (is empty|No such file)"):
        secrets.read(file)


def test_a_secret_shows_in_no_repr_and_is_not_pickled() -> None:
    one = secrets.Secret(KEY.encode(), "x")
    assert KEY not in f"{one!r} {one} {[one]}"
    with pytest.raises(TypeError):
        pickle.dumps(one)


def test_relative_names_begin_at_the_credentials_or_beside_the_configuration(tmp_path: Path) -> None:
    beside, credentials = tmp_path / "etc", tmp_path / "cred"
    for place in (beside, credentials):
        place.mkdir()
    (credentials / "a.key").write_text("x")
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert secrets.locate(Path("a.key"), beside, environ) == credentials / "a.key"
    assert secrets.locate(Path("b.key"), beside, environ) == beside / "b.key"
    assert secrets.locate(Path("a.key"), beside, {}) == beside / "a.key"
    assert secrets.locate(Path("/run/a.key"), beside, environ) == Path("/run/a.key")


def test_all_missing_secrets_are_told_at_once_and_no_account_is_touched(tmp_path: Path) -> None:
    settings = config.load(configure(tmp_path, key=None))
    (tmp_path / "token").write_text("")
    counters = Counters()
    with pytest.raises(ConfigError) as refused:
        factory.build(settings, counters, "n")
    assert [problem.key for problem in refused.value.problems] == [
        "source baidu: signature.key_file",
        "source net: signature.key_file",
        "source baidu: privacy_key_file",
    ]
    assert counters.by_source == {}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_check_tells_what_is_wrong_with_secrets(tmp_path: Path) -> None:
    status, said = run("check", "-c", str(configure(tmp_path, key=None)))
    assert status == 78
    assert "source baidu: signature.key_file" in said
    assert "No such file" in said
    status, said = run("check", "-c", str(configure(tmp_path)))
    assert status == 0, said


def test_check_warns_of_a_secret_everybody_can_read(tmp_path: Path) -> None:
    file = configure(tmp_path)
    (tmp_path / "baidu.key").chmod(0o644)
    (tmp_path / "token").chmod(0o640)
    said = run("check", "-c", str(file))[1]
    assert "baidu.key can be read by everybody" in said
    assert "token can be read" not in said


def test_no_command_no_log_and_no_error_shows_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = str(configure(tmp_path))
    url, token_url = SAMPLES["baidu signed"], f"https://trk.example.com/p/net/{TOKEN}/app"
    with caplog.at_level(logging.DEBUG):
        said = [
            run(*arguments, "-c", file)[1]
            for arguments in (
                ("check",),
                ("check", "--json"),
                ("sources",),
                ("sources", "--json"),
                ("sources", "--links"),
                ("sources", "--links", "--json"),
                ("explain", url),
                ("explain", url, "--json"),
                ("explain", url, "--show-secrets"),
                ("explain", token_url),
                ("explain", token_url, "--json"),
                ("explain", token_url.replace(TOKEN, "wrong-token")),
            )
        ]
    sources = factory.build(config.load(Path(file)), Counters(), "n")
    shown = "".join([*said, caplog.text, repr(sources), repr(config.load(Path(file)))])
    assert KEY not in shown
    assert TOKEN not in shown
    assert TOKEN in run("sources", "--links", "--show-secrets", "-c", file)[1], "where it is asked for"


def test_callback_credentials_and_signatures_are_masked_unless_asked_for(tmp_path: Path) -> None:
    file, url = str(configure(tmp_path)), SAMPLES["baidu signed"]
    for arguments in (("explain", url, "-c", file), ("explain", url, "-c", file, "--json")):
        said = run(*arguments)[1]
        assert "ocpcapi" not in said, "callback_url"
        assert "0ede828d475a87fce7c2e5319a7dd22a" not in said, "sign"
        assert "113.247.34.10" in said
        shown = run(*arguments, "--show-secrets")[1]
        assert "ocpcapi" in shown
        assert "0ede828d475a87fce7c2e5319a7dd22a" in shown


def test_credentials_are_masked_in_bodies_too(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('[[source]]\nname="v"\npath="/c/v"\nprofile="vivo"\n')
    body = '{"requestId":"cred-1","nested":{"callback":"cred-2"},"list":[{"token":"cred-3"}],"a":1}'
    said = run(
        "explain", "/c/v", "--post", body, "--content-type", "application/json", "-c", str(file), "--json"
    )[1]
    event = orjson.loads(said)["events"][0]["event"]
    assert event["body"] == {
        "requestId": "***",
        "nested": {"callback": "***"},
        "list": [{"token": "***"}],
        "a": 1,
    }
    assert "cred-" not in said


def with_kafka(place: Path, password: bytes | None) -> str:
    file = configure(place)
    (place / "user").write_text("u")
    if password is not None:
        (place / "password").write_bytes(password)
    security = '{ protocol = "SASL_PLAINTEXT", username_file = "user", password_file = "password" }'
    file.write_text(f'{file.read_text()}\n[kafka]\nbootstrap = "k:1"\nsecurity = {security}\n')
    return str(file)


@pytest.mark.parametrize(
    ("password", "why"),
    [(None, "password: No such file"), (b"", "is empty"), (b"pw-\xd6\xd0-pw", "not valid UTF-8")],
)
def test_check_tells_of_kafkas_secrets_and_shows_none(
    tmp_path: Path, password: bytes | None, why: str
) -> None:
    status, said = run("check", "-c", with_kafka(tmp_path, password))
    assert status == 78
    assert "kafka.security" in said
    assert why in said
    assert "pw-" not in said


def test_check_warns_of_a_kafka_password_everybody_can_read(tmp_path: Path) -> None:
    file = with_kafka(tmp_path, b"secret")
    (tmp_path / "user").chmod(0o640)
    (tmp_path / "password").chmod(0o644)
    said = run("check", "-c", file)[1]
    assert "password can be read by everybody" in said
    assert "user can be read" not in said


def test_check_warns_of_an_admin_listener_that_others_reach(tmp_path: Path) -> None:
    file = configure(tmp_path)
    file.write_text(f'{file.read_text()}\n[admin]\nlisten = "tcp:0.0.0.0:9401"\nallow_remote = true\n')
    assert "admin.allow_remote: other machines reach it" in run("check", "-c", str(file))[1]
