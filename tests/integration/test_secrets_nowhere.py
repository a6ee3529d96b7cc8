"""Secrets are planted wherever the configuration takes one, then looked for in everything that comes out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path
from signal import SIGHUP, SIGUSR1
from typing import get_args

import pytest
from pydantic import BaseModel

from ingestd.config.sections import Config
from tests.support.daemon import ROOT, SECRET_KEYS, Daemon, environment
from tests.support.kafka.tls import TestCa
from tests.support.otlp import Collector
from tests.support.place import open_place
from tests.support.spilled import line
from tests.support.waiting import FAR, until
from tests.support.wire import Wire, ask, request

SECRETS = {
    "akey": "planted-akey-7f31",
    "token": "planted-token-92ab",
    "query-token": "planted-query-token-55",
    "header-token": "planted-header-token-0b",
    "hmac": "planted-hmac-key-c04d",
    "privacy": "planted-privacy-key-1d",
    "kafka-user": "planted-user-8812",
    "kafka-password": "planted-password-e6",
    "other-password": "planted-after-reload-3",
    "kafka-tls-key": "",  # made by openssl
}
# Named like secrets, and public: certificates.
PUBLIC = {"kafka.security.ca_file", "kafka.security.cert_file"}
# As good as a password, and the platform's own: in the event, and nowhere else.
CALLBACK = "planted-callback-4e77"
PERSON = "planted-imei-35920"
EVENTS = "the spool, as events"
BASE = "https://click.example.com"
SOURCES: list[dict[str, object]] = [
    {"name": "signed", "path": "/c/signed", "profile": "baidu", "signature": {"key_file": "akey"}},
    {
        "name": "private", "path": "/c/private", "privacy": {"imei": "hmac"}, "privacy_key_file": "privacy",
        "address_privacy": "hmac",
    },
    {
        "name": "rejecting", "path": "/c/rejecting", "on_bad_signature": "reject",
        "signature": {"kind": "hmac_sha256_body", "header": "X-Signature", "key_file": "hmac"},
    },
    {
        "name": "pathtoken", "path": "/p/path",
        "signature": {"kind": "token", "place": "path", "key_file": "token"},
    },
    {
        "name": "querytoken", "path": "/p/query", "on_bad_signature": "dead_letter",
        "signature": {"kind": "token", "param": "tk", "key_file": "query-token"},
    },
    {
        "name": "headertoken", "path": "/p/header",
        "signature": {"kind": "token", "place": "header", "header": "Authorization", "prefix": "Bearer ",
                      "key_file": "header-token"},
    },
]  # fmt: skip


@dataclass
class Run:
    """One run of everything, and all it put out: what said it, and what it said."""

    place: Path
    said: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str, status: tuple[int, ...] = (0,), config: Path | None = None) -> None:
        file = ("-c", str(config or self.place / "0.toml"))
        command = [sys.executable, "-m", "ingestd", *arguments, *file]
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self.place,
            env=environment(),
            timeout=FAR,
            check=False,
        )
        assert result.returncode in status, (arguments, result.stdout, result.stderr)
        self.said[f"command {len(self.said)}, {arguments[0]}"] = result.stdout + result.stderr


def kafka(password: str) -> dict[str, object]:
    """A section for a broker that is not there."""
    security = {
        "protocol": "SASL_SSL", "mechanism": "PLAIN", "username_file": "kafka-user",
        "password_file": password, "ca_file": "ca.pem", "cert_file": "server.crt",
        "key_file": "kafka-tls-key",
    }  # fmt: skip
    return {"bootstrap": "127.0.0.1:1", "request_timeout": "1s", "security": security}


def requests() -> Iterator[bytes]:
    """Good ones, bad ones, and secrets where they do not belong."""
    query = f"click_id=1&callback_url={CALLBACK}&ts=1718000000000"
    sign = md5(f"{BASE}/c/signed?{query}{SECRETS['akey']}".encode()).hexdigest()
    yield request(f"/c/signed?{query}&sign={sign}")
    yield request(f"/c/signed?{query}&sign={'0' * 32}")
    yield request(f"/c/private?imei={PERSON}&a=1", headers={"X-Real-IP": "198.51.100.77"})
    yield request("/c/rejecting", "POST", {"X-Signature": "0" * 64}, b"{}")
    yield request(f"/p/path/{SECRETS['token']}/app?a=1")
    yield request(f"/p/query/app?tk={SECRETS['query-token']}&a=1")
    yield request(f"/p/query/app?a=1&tk={SECRETS['query-token']}x")
    yield request(f"/p/query/app?t%6B={SECRETS['query-token']}&a=1&tk={SECRETS['query-token']}")
    yield request("/p/header?a=1", headers={"Authorization": f"Bearer {SECRETS['header-token']}"})
    yield request("/p/header?a=2", headers={"authorization": f"Bearer {SECRETS['header-token']}x\x01"})
    yield request(f"/nowhere/{SECRETS['token']}?callback={CALLBACK}")
    yield request(f"/c/signed?akey={CALLBACK}", headers={"Content-Length": "x"})
    yield f"GET /c/signed?{CALLBACK}\0 HTTP/1.1\r\n\r\n".encode()
    yield request(f"/c/signed/{CALLBACK}", "PUT")
    yield request("/c/signed", "POST", {"Content-Encoding": CALLBACK}, b"x")


def plant(place: Path) -> None:
    """Every secret into its file; a TLS key is told by a line of it."""
    TestCa(place / "made")
    for name in ("ca.pem", "server.crt"):
        (place / name).write_bytes((place / "made" / name).read_bytes())
    key = (place / "made" / "server.key").read_text()
    shutil.rmtree(place / "made")
    SECRETS["kafka-tls-key"] = key.splitlines()[1]
    for name, secret in SECRETS.items():
        (place / name).write_text(key if name == "kafka-tls-key" else secret + "\n")
        (place / name).chmod(0o600)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with open_place() as place, Collector() as collector:
        plant(place)
        done = Run(place)
        with Daemon(
            place, sources=SOURCES, ingest={"public_base": BASE}, kafka=kafka("kafka-password"),
            spool={"directory": str(place / "spool")}, log={"level": "debug"},
            tracing={"endpoint": collector.endpoint, "sample": 1},
        ) as daemon:  # fmt: skip
            _exercise(daemon, done)
        done.said["the spans"] = "\n".join(map(str, collector.spans))
        yield done


def _exercise(daemon: Daemon, done: Run) -> None:
    with Wire(daemon.admin) as follower:
        follower.send(request("/tail", host="localhost"))
        assert follower.receive().status == 200
        for number, data in enumerate(requests()):
            done.said[f"reply {number}"] = str(ask(daemon.socket, data))
        done.said["/tail"] = "".join(follower.line() for _ in range(9))
    done.said["what the supervisor is told"] = "\n".join(daemon.heard)
    daemon.configure(kafka=kafka("other-password"))
    daemon.signal(SIGHUP)
    until(lambda: daemon.metrics()["config_reloads_total"] == 1, "the reload")
    daemon.configure(kafka=kafka("not-there"))
    daemon.signal(SIGHUP)
    until(lambda: daemon.metrics()["config_reload_failures_total"] == 1, "the refusal")
    done.command("check", status=(78,))
    daemon.configure(kafka=kafka("other-password"))
    for path in ("/status", "/metrics", "/livez", "/readyz", "/tail?source=nobody"):
        done.said[path] = daemon.look(path).text
    for name in ("cmdline", "environ", "status"):
        done.said[f"/proc/PID/{name}"] = Path(f"/proc/{daemon.pid}/{name}").read_text(errors="replace")
    daemon.signal(SIGUSR1)  # a finished file and its manifest
    until(lambda: any(daemon.directory.glob("*.manifest")), "a manifest")
    for arguments in (
        ("check",), ("check", "--json"), ("sources",), ("sources", "--json"), ("sources", "--links"),
        ("nginx",),
        ("explain", f"{BASE}/p/path/{SECRETS['token']}/app?a=1"),
        ("explain", f"{BASE}/p/query/app?tk={SECRETS['query-token']}", "--json"),
        ("top", "-n", "1"), ("spool", "ls"), ("spool", "verify"), ("audit",), ("replay", "--dry-run"),
    ):  # fmt: skip
        done.command(*arguments)
    # Its link is wrong: nothing is signed.
    done.command("explain", f"{BASE}/c/signed?click_id=1&callback_url={CALLBACK}", status=(3,))
    done.command("send", "-n", "20")  # signed with the first of each source's keys
    report = done.place / "report.txt"
    done.command("doctor", "-o", str(report), status=(1,))  # there is no Kafka
    done.said["doctor's report"] = report.read_text()
    _follow(done)
    _replay_spilled(done)
    done.command("spool", "export")
    done.said[EVENTS] = done.said.pop(next(reversed(done.said)))
    assert daemon.stop() in (0, 1)
    done.said["the log"] = daemon.log()
    assert "kafka" in done.said["the log"], "Kafka's troubles are there to be looked through"


def _follow(done: Run) -> None:
    """`ingestd tail`, in both its forms, while callbacks come."""
    for form in ((), ("--json",)):
        command = [
            sys.executable,
            "-m",
            "ingestd",
            "tail",
            "-n",
            "40",
            *form,
            "-c",
            str(done.place / "0.toml"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tail:
            while tail.poll() is None:
                for data in requests():
                    ask(done.place / "0.sock", data)
            assert tail.stdout is not None
            done.said[f"command tail {form}"] = tail.stdout.read()


def _replay_spilled(done: Run) -> None:
    """nginx' spill log, which holds tokens as they came: what is made of it does not."""
    spill = done.place / "spill"
    bearer = {"Authorization": f"Bearer {SECRETS['header-token']}".encode()}
    lines = [
        line(f"/p/query/app?tk={SECRETS['query-token']}&a=1".encode()),
        line(f"/p/path/{SECRETS['token']}/app?a=1".encode()),
        line(b"/p/header?a=1", extra=bearer),
        line(f"/nowhere/{SECRETS['token']}".encode()),
    ]
    spill.write_bytes(b"".join(one + b"\n" for one in lines))
    files = done.place / "replayed.toml"
    text = (done.place / "0.toml").read_text()
    files.write_text(
        re.sub(r"\[kafka\]\n.*?\n(?=\[)", "", text, flags=re.DOTALL).replace("/clicks", "/replayed")
    )
    for path in (done.place / "0.toml", files):
        arguments = ["replay", "--from", "nginx-spill", "--checkpoint", str(done.place / "checkpoint")]
        arguments += ["--dry-run"] if path != files else []
        done.command(*arguments, str(spill), status=(1,), config=path)
    assert len(list((done.place / "replayed").glob("*.ndjson"))) == 1
    for path in (spill, done.place / "spill.bad"):
        path.unlink()


def test_every_key_that_takes_a_secret_is_planted() -> None:
    """And every one that will be added: this is what the other tests here look for."""
    keys = set(_secret_keys(Config, ""))
    planted = {"source.signature.key_file", "source.privacy_key_file"}
    planted |= {f"kafka.security.{key}" for key in kafka("x")["security"]}  # type: ignore[attr-defined]
    assert keys | PUBLIC == {key for key in planted if key.endswith("_file")}
    assert {key.rpartition(".")[2] for key in keys - PUBLIC} == SECRET_KEYS, (
        "what each daemon's log is held to"
    )


def _secret_keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, about in model.model_fields.items():
        if name.endswith("_file"):
            yield prefix + name
        for inner in _models(about.annotation):
            yield from _secret_keys(inner, f"{prefix}{name}.")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _models(one)


def test_no_secret_comes_out_anywhere(run: Run) -> None:
    for what, text in run.said.items():
        for name, secret in SECRETS.items():
            assert secret not in text, f"{name} in {what}"


def test_no_secret_is_in_any_file_but_its_own(run: Run) -> None:
    looked_at = 0
    for path in run.place.rglob("*"):
        if path.is_file() and path.name not in SECRETS:
            data = path.read_bytes()
            looked_at += len(data)
            for name, secret in SECRETS.items():
                assert secret.encode() not in data, f"{name} in {path}"
    assert looked_at > 5000
    assert list(run.place.glob("clicks/*.manifest")), "files, manifests, spool, dead letters, checkpoints"
    assert list(run.place.glob("clicks/dead/*"))
    assert list(run.place.glob("spool/0/*.spool"))


def test_what_platforms_entrust_is_in_events_only(run: Run) -> None:
    assert CALLBACK in run.said[EVENTS], "the event itself holds it"
    for what, text in run.said.items():
        if what != EVENTS:
            assert CALLBACK not in text, what
        assert PERSON not in text, what
        assert "198.51.100.77" not in text, what


def test_the_events_say_what_was_hidden(run: Run) -> None:
    events = run.said[EVENTS]
    assert '"path":"/p/path/***/app"' in events
    assert '"tk":"***"' in events
    assert '"signature":"ok"' in events
    assert run.said["/tail"].count('"callback_url":"***"') == 2
    assert "ingestd.commit" in run.said["the spans"]
    assert "accepting events" in run.said["what the supervisor is told"]


def test_tracebacks_hold_no_values() -> None:
    # A bug's traceback names lines of code; the interpreter must not be told to add their variables.
    for path in (ROOT / "ingestd").rglob("*.py"):
        text = path.read_text("utf-8")
        assert "capture_locals" not in text, path
        assert "cgitb" not in text, path
