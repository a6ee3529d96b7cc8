"""The command line as a user meets it: help with an example, errors that say what to write instead."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from ingestd import __version__
from ingestd.cli import SECTIONS, main
from ingestd.sources.event_schema import JSON_SCHEMA
from tests.support import commands
from tests.support.daemon import ROOT, Daemon, environment, ingestd
from tests.support.kafka.tls import TestCa
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.place import open_place
from tests.support.waiting import FAR

QUICKSTART = str(ROOT / "conf" / "quickstart.toml")
EX_CONFIG = 78


def run(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed."""
    return subprocess.run(
        ingestd(*arguments),
        capture_output=True,
        text=True,
        timeout=FAR,
        cwd=cwd,
        env=environment(**variables),
    )


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    """An instance for commands that need one."""
    with open_place() as path, Daemon(path) as daemon:
        yield daemon


@pytest.mark.parametrize("words", list(commands.every(main)), ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    _, example, lines = done.output.partition("Example:\n")
    assert example, done.output
    assert " ".join(["ingestd", *words]) in lines


def test_help_and_version_need_no_configuration(tmp_path: Path) -> None:
    for words in (["--help"], ["-h"], ["serve", "-h"], ["version"]):
        assert run(*words, cwd=tmp_path).returncode == 0


def test_the_version_can_be_asked_for_as_everywhere_else() -> None:
    assert run("--version").stdout == f"ingestd {__version__}\n"


def test_the_environment_names_the_configuration_for_every_command(tmp_path: Path) -> None:
    """And an option overrides it; the help of each command that reads one says so."""
    found = run("sources", "--json", cwd=tmp_path, INGESTD_CONFIG=QUICKSTART)
    assert [source["name"] for source in json.loads(found.stdout)] == ["demo"]
    other = run("sources", "-c", "/nowhere/x.toml", INGESTD_CONFIG=QUICKSTART)
    assert (other.returncode, "/nowhere/x.toml" in other.stderr) == (EX_CONFIG, True)
    assert "INGESTD_CONFIG" in run("--help").stdout
    for words in commands.every(main):
        command = commands.named(main, *words)
        if any(option.name == "config_path" for option in command.params):
            assert "INGESTD_CONFIG" in CliRunner().invoke(main, [*words, "--help"]).output, words


def test_no_summary_in_the_help_is_cut() -> None:
    """Not on the narrowest terminal either, where they wrap."""
    for width in ("200", "80", "40"):
        text = " ".join(run("--help", COLUMNS=width).stdout.split())
        assert "..." not in text.replace("COMMAND [ARGS]...", "")
        for section in SECTIONS.values():
            for summary in section.values():
                assert summary in text, (width, summary)


def test_an_unknown_command_is_refused_with_the_help_named() -> None:
    done = run("sevre")
    assert done.returncode == 2
    assert "No such command 'sevre'" in done.stderr


@pytest.mark.parametrize(
    ("text", "key", "what", "hint"),
    [
        ("[ingest]\nlisen = 1\n", "ingest.lisen", "unknown key", "did you mean 'listen'?"),
        ('[ingest]\nack = "maybe"\n', "ingest.ack", "", ""),
        (
            '[ingest]\nlisten = "here"\n',
            "ingest.listen[0]",
            "is not an address",
            "unix:/run/ingestd/ingestd.sock",
        ),
        ('[file]\nrotate_bytes = "5 apples"\n', "file.rotate_bytes", "is not a size", "64MiB"),
        ("[ingset]\n", "ingset", "unknown key", "did you mean 'ingest'?"),
        ('[[source]]\nname = "x"\n', "source[0].path", "missing", ""),
        ('[[source]]\nname = "x"\npath = "/x"\nprofile = "ocaen"\n', "source[0].profile", "ocaen", "ocean"),
        ("[ingest\n", "TOML", "line 1", ""),
    ],
)
def test_check_says_which_key_is_wrong_what_is_wrong_and_what_to_write(
    tmp_path: Path, text: str, key: str, what: str, hint: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    done = run("check", "-c", str(file))
    assert done.returncode == EX_CONFIG, done
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"{file}: {key}: ")]
    assert any(what in line and hint in line for line in lines), done.stderr


def test_serve_and_every_command_that_reads_it_refuse_a_wrong_configuration_alike(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[ingest]\nlisen = 1\n")
    for words in (["serve"], ["sources"], ["explain", "/c/demo"], ["send"]):
        done = run(*words, "-c", str(file))
        assert (done.returncode, done.stdout) == (EX_CONFIG, "")
        assert "ingest.lisen: unknown key; did you mean 'listen'?" in done.stderr
    problems = json.loads(run("check", "--json", "-c", str(file)).stdout)
    assert (problems["ok"], problems["problems"][0]["key"]) == (False, "ingest.lisen")


def test_check_names_every_problem_at_once(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[ingest]\nlisen = 1\nack = 2\n[flush]\ninterval = 3\n")
    said = run("check", "-c", str(file)).stderr
    for key in ("ingest.lisen", "ingest.ack", "flush.interval"):
        assert f": {key}: " in said


def test_check_sees_a_directory_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = tmp_path / "c.toml"
    config.write_text(f'[file]\ndirectory = "{tmp_path}/file/clicks"\n[[source]]\nname = "a"\npath = "/a"\n')
    done = run("check", "-c", str(config))
    assert done.returncode == EX_CONFIG
    assert "file.directory" in done.stderr


def test_check_sees_a_spool_that_cannot_be_had(tmp_path: Path) -> None:
    """Only with Kafka is there one."""
    (tmp_path / "spool").write_text("a file")
    kafka = f'[kafka]\nbootstrap = "k:1"\n[spool]\ndirectory = "{tmp_path}/spool"\n'
    config = tmp_path / "c.toml"
    config.write_text(f'{kafka}[[source]]\nname = "demo"\npath = "/c/demo"\n')
    assert f"spool.directory: {tmp_path}/spool is not a directory" in run("check", "-c", str(config)).stderr


def test_check_passes_what_is_shipped(tmp_path: Path) -> None:
    done = run("check", "-c", QUICKSTART, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_configuration_that_is_not_there_is_named() -> None:
    done = run("serve", "-c", "/nowhere/x.toml")
    assert done.returncode == EX_CONFIG
    assert "/nowhere/x.toml" in done.stderr


def test_a_key_can_be_set_from_the_environment_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert run("check", "-c", QUICKSTART, cwd=tmp_path, INGESTD_FLUSH_INTERVAL="50ms").returncode == 0
    done = run("check", "-c", QUICKSTART, cwd=tmp_path, INGESTD_FLUSH_INTERVAL="soon")
    assert (done.returncode, "flush.interval" in done.stderr) == (EX_CONFIG, True)


def test_send_sends_real_callbacks_and_counts_the_answers(running: Daemon) -> None:
    done = run("send", "-c", str(running.config), "-n", "200")
    assert done.returncode == 0
    assert re.search(r"200 sent in .* 200 answered with success", done.stdout)
    events = running.events()
    assert len(events) == 200
    assert {event["route"] for event in events} == {"ingestd-test"}
    assert any("macro:imei" in event["flags"] for event in events)
    assert all("test" in event["flags"] for event in events)


def test_send_keeps_to_a_rate(running: Daemon) -> None:
    done = run("send", "-c", str(running.config), "-n", "20", "--rate", "40")
    found = re.search(r"20 sent in ([\d.]+) s", done.stdout)
    assert found is not None
    assert 0.4 < float(found[1]) < 5


def test_send_to_nobody_says_so() -> None:
    done = run("send", "-c", QUICKSTART, "--to", "unix:/nowhere/x.sock", "-n", "1")
    assert done.returncode == 1
    assert "cannot reach unix:/nowhere/x.sock" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def behind_tls(running: Daemon) -> Iterator[tuple[str, Path]]:
    """An nginx in front of the daemon that speaks TLS, and the authority its certificate is from."""
    need_nginx()
    with open_place() as place:
        ca, nginx = TestCa(place / "tls"), Nginx(place, [running.socket])
        site = place / "site.conf"
        listen = f"listen 127.0.0.1:{nginx.port} "
        assert listen in site.read_text()
        certificate = f"ssl_certificate {ca.server_pem}; ssl_certificate_key {ca.server_pem};\n"
        site.write_text(site.read_text().replace(listen, f"{certificate}{listen}ssl "))
        with nginx:
            yield f"https://127.0.0.1:{nginx.port}", ca.ca_file


def test_send_speaks_tls_and_verifies_whom_it_speaks_to(
    running: Daemon, behind_tls: tuple[str, Path]
) -> None:
    target, authority = behind_tls
    words = ("send", "-c", str(running.config), "-n", "5", "--to", target)
    stored = running.status()["sources"]["demo"]["stored"]
    assert run(*words, SSL_CERT_FILE=str(authority)).returncode == 0
    assert run(*words, "--host", "localhost", SSL_CERT_FILE=str(authority)).returncode == 0
    other = run(*words, "--host", "click.example.com", SSL_CERT_FILE=str(authority))
    assert other.returncode == 1
    assert "(asked for click.example.com); --host NAME says whose certificate it must be" in other.stderr
    unknown = run(*words)
    assert (unknown.returncode, "--insecure takes any" in unknown.stderr) == (1, True)
    assert run(*words, "--insecure").returncode == 0
    assert running.status()["sources"]["demo"]["stored"] == stored + 15


def test_send_to_an_unknown_source_names_the_known_ones(running: Daemon) -> None:
    done = run("send", "-c", str(running.config), "--source", "dmeo")
    assert done.returncode == 1
    assert "there is no such source; did you mean 'demo'?" in done.stderr


def explained(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The events of `explain --json`."""
    return [one["event"] for one in json.loads(done.stdout)["events"]]


def test_explain_shows_the_event_a_request_becomes() -> None:
    url = "https://click.example.com/c/demo/app42?imei=__IMEI__&n=%D6%D0"
    done = run("explain", "-c", QUICKSTART, "--json", url)
    assert done.returncode == 0
    [event] = explained(done)
    jsonschema.validate(event, JSON_SCHEMA)
    assert (event["source"], event["route"]) == ("demo", "app42")
    assert {"macro:imei", "bad_utf8"} <= set(event["flags"])
    assert event["raw"] == "imei=__IMEI__&n=%D6%D0"
    assert "macro:imei" in run("explain", "-c", QUICKSTART, url).stdout


def test_explain_takes_a_body_and_refuses_as_the_daemon_would() -> None:
    done = run(
        "explain",
        "-c",
        QUICKSTART,
        "--json",
        "--post",
        "[1,2]",
        "--content-type",
        "application/json",
        "/c/demo",
    )
    assert [event["body"] for event in explained(done)] == [1, 2]
    done = run("explain", "-c", QUICKSTART, "/nowhere")
    assert done.returncode == 1
    assert "404" in done.stdout


def test_schema_is_the_one_events_are_checked_with() -> None:
    assert json.loads(run("schema").stdout) == JSON_SCHEMA


def test_sources_lists_what_is_configured() -> None:
    assert re.search(r"^demo\s+/c/demo", run("sources", "-c", QUICKSTART).stdout, re.MULTILINE)
    [source] = json.loads(run("sources", "-c", QUICKSTART, "--json").stdout)
    assert (source["name"], source["path"]) == ("demo", "/c/demo")


def test_version_names_ingestd_and_its_libraries() -> None:
    found = json.loads(run("version", "--json").stdout)
    assert {"ingestd", "python", "uvloop", "httptools", "orjson"} <= set(found)
    assert found["ingestd"] in run("version").stdout


def test_the_quickstart_serves_and_is_sent_to(tmp_path: Path) -> None:
    """README's first commands, on a port of the test's own."""
    with open_place() as place:
        daemon = Daemon(place)
        text = Path(QUICKSTART).read_text()
        text = text.replace("tcp:127.0.0.1:8080", f"unix:{daemon.socket}")
        text = text.replace("tcp:127.0.0.1:9401", f"unix:{daemon.admin}")
        daemon.config.write_text(text)
        with daemon:
            assert run("send", "-c", str(daemon.config), "-n", "50").returncode == 0
            assert daemon.status()["sources"]["demo"]["stored"] == 50
            assert daemon.stop() == 0
        [file] = (place / "var" / "clicks").glob("*.ndjson")
        assert file.read_bytes().count(b"\n") == 50


def test_from_init_to_the_first_event(tmp_path: Path) -> None:
    """With the commands it prints, on sockets of the test's own."""
    with open_place() as place:
        done = run("init", str(place), "--source", "ocean", "--base", "https://click.example.com", "--no-ask")
        assert done.returncode == 0, done.stderr
        daemon = Daemon(place)
        text = (place / "ingestd.toml").read_text()
        text = text.replace("tcp:127.0.0.1:8080", f"unix:{daemon.socket}")
        daemon.config.write_text(text.replace("tcp:127.0.0.1:9401", f"unix:{daemon.admin}"))
        with daemon:
            assert run("send", "-c", str(daemon.config), "--source", "ocean", "-n", "1").returncode == 0
            assert daemon.status()["sources"]["ocean"]["stored"] == 1
            assert daemon.stop() == 0
        [file] = (place / "var" / "clicks").glob("*.ndjson")
        event = json.loads(file.read_bytes())
        assert (event["source"], event["route"]) == ("ocean", "ingestd-test")
        assert event["event_at"] is not None


def test_doctor_says_what_looks_wrong_and_writes_a_report(tmp_path: Path) -> None:
    """Of a daemon that is well, of one whose configuration has changed, and of one that is gone."""
    with open_place() as place:
        report = place / "report.txt"
        words = ("doctor", "-o", str(report), "--nginx", str(place / "nginx"))
        with Daemon(place) as daemon:
            done = run(*words, "-c", str(daemon.config))
            assert (done.returncode, "Nothing looks wrong." in done.stdout) == (0, True), done.stdout
            text = report.read_text()
            for section in (
                "versions",
                "machine",
                "configuration",
                f"status of unix:{daemon.admin}",
                "metrics",
            ):
                assert f"\n== {section}" in text
            assert f'"directory": "{daemon.directory}"' in text
            assert "ingestd_events_received_total" in text
            assert report.stat().st_mode & 0o777 == 0o600
            daemon.config.write_text(daemon.config.read_text() + "\n# changed\n")
            done = run(*words, "-c", str(daemon.config))
            assert (done.returncode, "has changed since it was loaded" in done.stdout) == (1, True)
        done = run(*words, "-c", str(daemon.config))
        assert (done.returncode, "cannot reach" in done.stdout) == (1, True)
        assert "cannot reach" in report.read_text()
