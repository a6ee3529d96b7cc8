"""The configuration: what it takes, and that every refusal says where, what is wrong, and what to write."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from ingestd import config
from ingestd.config.sections import Config
from ingestd.errors import ConfigError, Problem

SOURCE = '[[source]]\nname = "demo"\npath = "/c/demo"\n'


def parse(toml: str, **environ: str) -> Config:
    return config.parse(tomllib.loads(toml), "test.toml", environ)


def problems(toml: str, **environ: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(toml, **environ)
    return caught.value.problems


# what is taken


def test_only_a_source_has_to_be_configured() -> None:
    settings = parse(SOURCE)
    assert settings == parse(SOURCE + "[ingest]\n[buffer]\n[flush]\n[file]\n[admin]\n[log]\n")
    assert settings.file is not None
    assert (settings.ingest.ack, settings.flush.max_events, settings.kafka) == ("stored", 5000, None)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("1KiB", 1024), ("1.5MiB", 1572864), ("2 GiB", 2 << 30), ("0B", 0), (" 3MiB ", 3 << 20)],
)
def test_a_size_is_a_number_with_its_unit(text: str, size: int) -> None:
    assert (
        parse(f'{SOURCE}[buffer]\nmax_bytes = "4GiB"\n[flush]\nmax_bytes = "{text}"').flush.max_bytes == size
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("1s", 1.0), ("1.5m", 90.0), ("2h", 7200.0), ("7d", 604800.0), ("0s", 0.0)],
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert parse(f'{SOURCE}[flush]\ninterval = "{text}"').flush.interval == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("600", 0o600), ("0777", 0o777)])
def test_a_file_mode_is_octal_text(text: str, mode: int) -> None:
    assert parse(f'{SOURCE}[ingest]\nsocket_mode = "{text}"').ingest.socket_mode == mode


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"tcp:127.0.0.1:8080"', ("tcp:127.0.0.1:8080",)),
        ('"unix:var/socket"', ("unix:var/socket",)),
        ('["unix:/run/a.sock", "tcp:[::1]:80"]', ("unix:/run/a.sock", "tcp:[::1]:80")),
    ],
)
def test_one_address_is_a_list_of_one(written: str, read: tuple[str, ...]) -> None:
    assert parse(f"{SOURCE}[ingest]\nlisten = {written}").ingest.listen == read


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        parse(SOURCE).ingest.ack = "queued"


# what is refused: (what is in the file, the key, what is wrong with it, what to write)

WRONG = [
    ("[ingest]\nlisten = 5", "ingest.listen", "5 is not a list", "in brackets"),
    ('[ingest]\nlisten = "8080"', "ingest.listen[0]", "'8080' is not an address", "tcp:127.0.0.1:8080"),
    ('[ingest]\nlisten = ["tcp:a:80", 7]', "ingest.listen[1]", "7 is not an address", "tcp:127.0.0.1:8080"),
    ('[ingest]\nlisten = "unix:"', "ingest.listen[0]", "'unix:' is not an address", "unix:/run/ingestd"),
    ('[ingest]\nack = "often"', "ingest.ack", "invalid value 'often'", "'stored' or 'queued'"),
    ("[ingest]\nack = true", "ingest.ack", "invalid value True", "'stored' or 'queued'"),
    ('[ingest]\nsocket_mode = "rw"', "ingest.socket_mode", "'rw' is not a file mode", '"0660"'),
    ("[ingest]\nsocket_mode = 660", "ingest.socket_mode", "660 is not a file mode", '"0660"'),
    ("[ingest]\nbacklog = 0", "ingest.backlog", "0 is out of range", "more than 0"),
    ('[ingest]\nbacklog = "many"', "ingest.backlog", "'many' is not a whole number", "whole number"),
    ("[ingest]\nbacklog = 1.5", "ingest.backlog", "1.5 is not a whole number", "whole number"),
    ('[ingest]\ninstance = "a b"', "ingest.instance", "invalid value 'a b'", '"web-1"'),
    ("[ingest]\ninstance = 1", "ingest.instance", "1 is not text", "in quotes"),
    ('[ingest]\nmax_body = "1MB"', "ingest.max_body", "'1MB' is not a size", "64MiB"),
    ("[ingest]\nmax_body = 1048576", "ingest.max_body", "1048576 is not a size", "64MiB"),
    ('[ingest]\nmax_body = "-1B"', "ingest.max_body", "'-1B' is not a size", "64MiB"),
    ('[ingest]\nidle_timeout = "10"', "ingest.idle_timeout", "'10' is not a duration", "200ms"),
    ("[ingest]\nidle_timeout = 10", "ingest.idle_timeout", "10 is not a duration", "200ms"),
    ('[ingest]\nidle_timeout = "1y"', "ingest.idle_timeout", "'1y' is not a duration", "ms s m h d"),
    ('[ingest]\npublic_base = "x.example"', "ingest.public_base", "invalid value 'x.example'", "https://"),
    ("ingest = 5", "ingest", "5 is not a table", "[ingest] above its keys"),
    ('[ingst]\nack = "stored"', "ingst", "unknown key", "'ingest'"),
    ('[ingest]\nakc = "stored"', "ingest.akc", "unknown key", "'ack'"),
    ('[ingest]\nxyzzy = "stored"', "ingest.xyzzy", "unknown key", "use one of ack, backlog"),
    ("[file]\nkeep_days = -1", "file.keep_days", "-1 is out of range", "at least 0"),
    ('[file]\ncompress = "lz4"', "file.compress", "invalid value 'lz4'", "'none', 'gzip' or 'zstd'"),
    ('[file]\nprefix = "A/B"', "file.prefix", "invalid value 'A/B'", '"clicks"'),
    ("[file]\ndirectory = 5", "file.directory", "5 is not a path", "in quotes"),
    ('[log]\nlevel = "loud"', "log.level", "invalid value 'loud'", "'info'"),
    ('[admin]\nlisten = "9401"', "admin.listen", "'9401' is not an address", "tcp:127.0.0.1:8080"),
    (
        '[admin]\nlisten = "tcp:0.0.0.0:9401"',
        "admin",
        "tcp:0.0.0.0:9401 can be reached",
        "allow_remote = true",
    ),
    ('[buffer]\nmax_bytes = "1KiB"', "flush.max_bytes", "more than buffer.max_bytes", "fit"),
]
WRONG_SOURCES = [
    ('name = "d"', "source[0].path", "is missing", 'path = "/c/ocean"'),
    ('path = "/d"', "source[0].name", "is missing", 'name = "ocean"'),
    ('name = "Demo X"\npath = "/d"', "source[0].name", "invalid value 'Demo X'", '"ocean"'),
    ('name = "d"\npath = "d"', "source[0].path", "invalid value 'd'", '"/c/ocean"'),
    ('name = "d"\npath = "/d/"', "source[0].path", "invalid value '/d/'", "none at the end"),
    ('name = "d"\npath = "/d e"', "source[0].path", "invalid value '/d e'", "no space"),
    ('name = "d"\npath = "/d"\nmethods = ["PUT"]', "source[0].methods[0]", "invalid value 'PUT'", "'GET' or"),
    ('name = "d"\npath = "/d"\nreply = "ok"', "source[0].reply", "'ok' is not a table", "reply = { ... }"),
    ('name = "d"\npath = "/d"\nreply = {status = 99}', "source[0].reply.status", "99 is out", "at least 200"),
    ('name = "d"\npath = "/d"\nreply = {statsu = 1}', "source[0].reply.statsu", "unknown key", "'status'"),
    ('name = "d"\npath = "/d"\nevent_time = {}', "source[0].event_time.param", "is missing", 'param = "ts"'),
    ('name = "d"\npath = "/d"\nprofile = "ocaen"', "source[0].profile", "unknown profile 'ocaen'", "'ocean'"),
    ('name = "d"\npath = "/d"\nkeep_raw = "no"', "source[0].keep_raw", "invalid value 'no'", "'never'"),
    ('name = "d"\npath = "/d"\ndedpu = ["a"]', "source[0].dedpu", "unknown key", "'dedup'"),
]


@pytest.mark.parametrize(("toml", "key", "what", "hint"), WRONG)
def test_a_wrong_value_is_named_with_what_is_wrong_and_what_to_write(
    toml: str, key: str, what: str, hint: str
) -> None:
    [problem] = problems(f"{toml}\n{SOURCE}")
    assert problem.key == key
    assert what in problem.what
    assert hint in problem.hint


@pytest.mark.parametrize(("toml", "key", "what", "hint"), WRONG_SOURCES)
def test_a_wrong_value_of_a_source_is_named_likewise(toml: str, key: str, what: str, hint: str) -> None:
    [problem] = problems(f"[[source]]\n{toml}")
    assert problem.key == key
    assert what in problem.what
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("toml", "key", "hint"),
    [
        ("", "source", "add a [[source]]"),
        ("source = 5", "source", "[[source]], in double brackets"),
        ('[source]\nname = "d"', "source", "[[source]], in double brackets"),
        ('source = ["d"]', "source[0]", "[[source]], in double brackets"),
    ],
)
def test_a_file_without_sources_says_how_one_is_written(toml: str, key: str, hint: str) -> None:
    [problem] = problems(toml)
    assert problem.key == key
    assert hint in problem.hint


def test_every_problem_is_told_at_once() -> None:
    found = problems('[ingest]\nack = "often"\nbacklog = 0\n[log]\nlevel = "loud"\n' + SOURCE)
    assert {problem.key for problem in found} == {"ingest.ack", "ingest.backlog", "log.level"}


def test_two_sources_may_not_share_a_name_or_a_path() -> None:
    found = problems(SOURCE + SOURCE)
    assert [(problem.key, problem.what) for problem in found] == [
        ("source[1].name", "'demo' is used by source[0] already"),
        ("source[1].path", "'/c/demo' is used by source[0] already"),
    ]


def test_one_source_too_many_is_told_before_any_of_them_is_looked_at() -> None:
    tree = {"source": [{"wrong": True}] * (config.MAX_SOURCES + 1)}
    with pytest.raises(ConfigError) as caught:
        config.parse(tree, "test.toml", {})
    [problem] = caught.value.problems
    assert str(problem).startswith("source: 10,001 sources are more than the maximum, 10,000; give some")
    assert config.too_many_sources(config.MAX_SOURCES) is None


def test_what_may_be_a_secret_is_not_repeated() -> None:
    # Written in the wrong place it must not end up in a log.
    toml = SOURCE + 'signature = { kind = "token", key_file = 5, param = "t" }\nkey = 7\n'
    for problem in problems(toml):
        assert "5" not in problem.what
        assert "7" not in problem.what


def test_a_long_wrong_value_is_cut() -> None:
    [problem] = problems(f'[ingest]\nack = "{"x" * 1000}"\n{SOURCE}')
    assert len(str(problem)) < 200


def test_an_error_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[ingest]\nack = "often"\n')
    with pytest.raises(ConfigError) as caught:
        config.load(path, {})
    assert str(caught.value).startswith(f"{path}: ingest.ack: invalid value 'often'; write")


@pytest.mark.parametrize("text", [b"[ingest\n", b"a = 1\na = 2\n", b"listen = \xff\n"])
def test_a_file_that_is_no_toml_is_a_problem_not_a_traceback(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError):
        config.load(path, {})


def test_a_file_that_is_missing_is_a_problem_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "missing.toml", {})


# the environment


@pytest.mark.parametrize(
    ("variable", "text", "section", "key", "value"),
    [
        ("INGESTD_INGEST_ACK", "queued", "ingest", "ack", "queued"),
        ("INGESTD_INGEST_INSTANCE", "1", "ingest", "instance", "1"),
        ("INGESTD_INGEST_INSTANCE", "web-1", "ingest", "instance", "web-1"),
        ("INGESTD_INGEST_BACKLOG", "7", "ingest", "backlog", 7),
        ("INGESTD_INGEST_SOCKET_MODE", "0660", "ingest", "socket_mode", 0o660),
        ("INGESTD_INGEST_LISTEN", "tcp:127.0.0.1:1", "ingest", "listen", ("tcp:127.0.0.1:1",)),
        ("INGESTD_INGEST_LISTEN", '["tcp:a:1", "tcp:a:2"]', "ingest", "listen", ("tcp:a:1", "tcp:a:2")),
        ("INGESTD_FLUSH_MAX_BYTES", "1MiB", "flush", "max_bytes", 1 << 20),
        ("INGESTD_FILE_PREFIX", "2024", "file", "prefix", "2024"),
        ("INGESTD_FILE_DIRECTORY", "/srv/x", "file", "directory", Path("/srv/x")),
        ("INGESTD_ADMIN_LISTEN", "tcp:127.0.0.1:0", "admin", "listen", "tcp:127.0.0.1:0"),
    ],
)
def test_the_environment_overrides_a_key(
    variable: str, text: str, section: str, key: str, value: object
) -> None:
    settings = parse(SOURCE, **{variable: text})
    assert getattr(getattr(settings, section), key) == value


def test_the_environment_is_stronger_than_the_file() -> None:
    assert parse(f'{SOURCE}[ingest]\nack = "stored"', INGESTD_INGEST_ACK="queued").ingest.ack == "queued"


def test_a_wrong_variable_is_a_problem_like_any_other() -> None:
    [problem] = problems(SOURCE, INGESTD_INGEST_AKC="queued")
    assert (problem.key, problem.hint) == ("ingest.akc", "did you mean 'ack'?")
    [problem] = problems(SOURCE, INGESTD_INGST_ACK="queued")
    assert problem.key == "INGESTD_INGST_ACK"
    assert "ingest" in problem.hint


def test_other_variables_are_nobodys_business() -> None:
    assert parse(SOURCE, PATH="/bin", INGESTD_CACHE="/x", INGESTD="1", XINGESTD_INGEST_ACK="x") == parse(
        SOURCE
    )


def test_a_variable_for_a_section_that_is_no_table_is_no_traceback() -> None:
    [problem] = problems("ingest = 5\n" + SOURCE, INGESTD_INGEST_ACK="queued")
    assert problem.key == "ingest"


@pytest.mark.parametrize(
    "address",
    [
        "tcp:127.0.0.1:9401",
        "tcp:127.9.9.9:1",
        "tcp:[::1]:9401",
        "tcp:localhost:9401",
        "unix:/run/ingestd/admin",
    ],
)
def test_the_admin_listener_is_this_machines_own(address: str) -> None:
    assert parse(SOURCE + f'[admin]\nlisten = "{address}"\n').admin.listen == address


@pytest.mark.parametrize(
    "address",
    ["tcp:0.0.0.0:9401", "tcp:[::]:9401", "tcp:192.0.2.1:9401", "tcp:localhost.example:9401", "tcp:*:9401"],
)
def test_the_admin_listener_is_reached_from_elsewhere_only_where_that_is_said(address: str) -> None:
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        parse(SOURCE + f'[admin]\nlisten = "{address}"\n')
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        config.parse(tomllib.loads(SOURCE), "test", {"INGESTD_ADMIN_LISTEN": address})
    settings = parse(SOURCE + f'[admin]\nlisten = "{address}"\nallow_remote = true\n')
    assert settings.admin.listen == address
