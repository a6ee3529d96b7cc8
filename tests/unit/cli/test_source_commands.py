"""explain, sources and check: everything about a request or a configuration, in words and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from ingestd.cli import main
from tests.support.platforms.cases import SAMPLES


def run(*arguments: str, text: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "baidu.key").write_text("another\ntest-akey-0001=\n")
    (tmp_path / "token").write_text("tok en\n")
    for name in ("baidu.key", "token"):
        (tmp_path / name).chmod(0o640)
    path = tmp_path / "ingestd.toml"
    path.write_text(
        f"""
[ingest]
public_base = "https://trk.example.com"
listen = "unix:{tmp_path}/s"
[file]
directory = "{tmp_path}"

[[source]]
name = "ocean"
path = "/c/ocean"
profile = "ocean"
key = ["oaid", "imei"]
privacy = {{ ip = "truncate_ip", androidid = "drop" }}

[[source]]
name = "baidu"
path = "/c/baidu"
profile = "baidu"
signature.key_file = "baidu.key"
on_bad_signature = "reject"

[[source]]
name = "net"
path = "/p/net"
profile = "postback"
signature = {{ place = "path", key_file = "token" }}

[[source]]
name = "vivo"
path = "/c/vivo"
profile = "vivo"

[[source]]
name = "shadow"
path = "/c/ocean/eu"
on_overload = {{ status = 200 }}
reply = {{ status = 500 }}
"""
    )
    return str(path)


def explained(file: str, *arguments: str, status: int = 0, text: str | None = None) -> dict[str, Any]:
    code, said = run("explain", *arguments, "-c", file, "--json", text=text)
    assert code == status, said
    found: dict[str, Any] = orjson.loads(said)
    return found


def test_explain_tells_every_parameter_and_what_became_of_it(file: str) -> None:
    found = explained(file, SAMPLES["oceanengine"])
    assert (found["source"], found["profile"], found["route"], found["path"]) == (
        "ocean", "ocean", "app42", "/c/ocean",
    )  # fmt: skip
    assert found["reply"] == {"status": 200, "content_type": "text/plain", "location": "", "body": "ok"}
    assert found["signature"]["result"] == "none"
    assert "key_file" in found["signature"]["why"]
    (event,) = found["events"]
    notes = {name: one["notes"] for name, one in event["parameters"].items()}
    assert notes["imei"] == ["Kafka key", "macro left in"]
    assert notes["ts"] == ["event time"]
    assert notes["callback_param"] == ["click id", "credential"]
    assert notes["ip"] == ["user's address", "privacy: truncate_ip"]
    assert event["parameters"]["ip"]["value"] == "223.104.63.0"
    assert event["dropped"] == ["androidid"]
    assert event["event_at"] == "2024-06-10T06:13:20.123+00:00"
    assert event["dup_key"]["from"] == "callback_param"
    assert event["kafka_key"]["from"] == "oaid"
    assert event["flags"] == event["event"]["flags"]
    assert "macro:imei" in event["flags"]


def test_explain_tells_what_was_signed_and_which_key_fits(file: str) -> None:
    found = explained(file, SAMPLES["baidu signed"])
    assert found["signature"]["result"] == "ok"
    assert found["signature"]["key"] == "2 of 2 (baidu.key, line 2)"
    assert found["signature"]["over"].startswith("https://trk.example.com/c/baidu/app42?userid=30112233&")
    assert found["signature"]["over"].endswith("callback_url=*** + the key")


def test_explain_tells_why_a_request_is_refused(file: str) -> None:
    bad = explained(file, SAMPLES["baidu signed"] + "&x=1", status=1)
    assert (bad["refused"], bad["status"]) == ("signature", 403)
    assert (bad["signature"]["result"], bad["signature"]["why"]) == ("bad", "sign is not the last parameter")
    nowhere = explained(file, "/c/nobody", status=1)
    assert (nowhere["refused"], nowhere["status"]) == ("not_found", 404)
    assert "/c/ocean" in nowhere["why"]
    assert explained(file, "/c/ocean", "--post", "a=1", status=1)["refused"] == "method"


def test_explain_says_when_no_value_can_be_a_key(file: str) -> None:
    (event,) = explained(file, "/c/ocean?oaid=__OAID__&request_id=r", status=3)["events"]
    assert event["kafka_key"] == {"value": None, "from": "no real value: no key, any partition"}
    assert event["dup_key"]["from"] == "request_id"
    (event,) = explained(file, "/c/ocean?a=1", status=3)["events"]
    assert event["dup_key"]["from"] == "the whole request but sign"


REQUEST = b"""POST /c/vivo/app42 HTTP/1.1
Host: trk.example.com
X-Real-IP: 203.0.113.9
User-Agent: vivo/1
Content-Type: application/json
Content-Length: 999

[{"requestId":"r-1","n":1},{"requestId":"r-2","n":2}]"""


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_explain_reads_a_whole_request_from_a_file(file: str, tmp_path: Path, line_end: bytes) -> None:
    captured = tmp_path / "request.txt"
    captured.write_bytes(REQUEST.replace(b"\n", line_end))
    found = explained(file, str(captured))
    assert (found["source"], found["route"], len(found["events"])) == ("vivo", "app42", 2)
    event = found["events"][1]["event"]
    assert (event["client_ip"], event["user_agent"], event["body"]["n"]) == ("203.0.113.9", "vivo/1", 2)


def test_explain_reads_a_url_from_a_file_or_standard_input(file: str, tmp_path: Path) -> None:
    captured = tmp_path / "url"
    captured.write_text(SAMPLES["oceanengine"] + "\n")
    assert explained(file, str(captured))["source"] == "ocean"
    assert explained(file, "-", text=SAMPLES["oceanengine"])["source"] == "ocean"


@pytest.mark.parametrize(
    ("request_text", "why"),
    [
        (b"GET /x HTTP/1.1\nBad Header\n\n", "400 (bad_request)"),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "ends before the request does"),
    ],
)
def test_explain_says_what_is_wrong_with_a_file(
    file: str, tmp_path: Path, request_text: bytes, why: str
) -> None:
    captured = tmp_path / "request.txt"
    captured.write_bytes(request_text)
    code, said = run("explain", str(captured), "-c", file)
    assert code == 1
    assert why in said


def test_explain_in_words_has_the_same(file: str) -> None:
    code, said = run("explain", SAMPLES["oceanengine"], "-c", file)
    assert code == 0
    for words in ("source     ocean (path /c/ocean, profile ocean)", "route      app42", "macro left in",
                  "dup key    ", " from callback_param", "kafka key  ", " from oaid", "event time 2024-06-10",
                  "androidid", "dropped", "reply      200 'ok' text/plain"):  # fmt: skip
        assert words in said, words
    code, said = run("explain", SAMPLES["baidu signed"] + "&x=1", "-c", file)
    assert code == 1
    assert "refused    403 (signature)" in said
    assert "signature  bad, md5_url_key, key none fits: sign is not the last parameter" in said


def test_links_are_what_the_consoles_take(file: str) -> None:
    code, said = run("sources", "--links", "--route", "app42", "-c", file)
    assert code == 0
    lines = said.splitlines()
    baidu = next(line.strip() for line in lines if "/c/baidu/app42?" in line)
    assert baidu.startswith("https://trk.example.com/c/baidu/app42?userid=__USER_ID__&pid=__PLAN_ID__&")
    assert baidu.endswith("&callback_url=__CALLBACK_URL__&sign=__SIGN__"), "the signature is last"
    ocean = next(line.strip() for line in lines if "/c/ocean/app42?" in line)
    assert "sign=" not in ocean, "nothing is verified, so its macro would only stay behind"
    assert any("/p/net/<token>/app42?transaction_id=" in line for line in lines)
    assert any(line.strip() == "https://trk.example.com/c/vivo/app42" for line in lines)
    shown = run("sources", "--links", "--show-secrets", "--base", "http://other.example/", "-c", file)[1]
    assert "http://other.example/p/net/tok%20en?transaction_id=" in shown


def test_the_link_of_a_source_is_taken_by_that_source(file: str) -> None:
    rows = orjson.loads(run("sources", "--links", "--route", "r", "--json", "-c", file)[1])
    for row in rows:
        if row["source"] == "baidu":
            continue  # rejects what is not signed
        arguments = ("--post", "{}") if row["source"] == "vivo" else ()
        assert explained(file, row["link"], *arguments)["source"] == row["source"]


def test_links_without_a_base_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[[source]]\nname="a"\npath="/a"\n')
    code, said = run("sources", "--links", "-c", str(path))
    assert code == 1
    assert "--base https://click.example.com" in said


def test_sources_can_be_had_as_json(file: str) -> None:
    rows = orjson.loads(run("sources", "--json", "-c", file)[1])
    assert [row["name"] for row in rows] == ["ocean", "baidu", "net", "vivo", "shadow"]


def test_check_warns_of_what_may_not_be_meant(file: str) -> None:
    code, said = run("check", "-c", file)
    assert code == 0, said
    for words in (
        "source ocean: its routes 'eu' and below go to source shadow (/c/ocean/eu)",
        "source ocean: the platform can sign (md5_url_key), and nothing is verified",
        "source shadow: on_overload.status: tells the platform that refused events were taken",
        "source shadow: reply.status: tells the platform that events were not taken",
    ):
        assert f"warning: {words}" in said, words
    found = orjson.loads(run("check", "--json", "-c", file)[1])
    assert found["ok"]
    assert len(found["warnings"]) == said.count("warning: ")


def test_check_counts_what_is_not_confirmed_and_lists_it_on_demand(file: str) -> None:
    """A line, so that it does not hide the warnings; each fact once, however many sources there are."""
    more = "".join(f'[[source]]\nname = "o{n}"\npath = "/o{n}"\nprofile = "ocean"\n' for n in range(3))
    Path(file).write_text(Path(file).read_text() + more)
    said = run("check", "-c", file)[1]
    facts = orjson.loads(run("check", "--json", "-c", file)[1])["unconfirmed"]
    assert f"{file}: {len(facts)} facts about the platforms not confirmed; --unconfirmed lists them" in said
    assert "not confirmed: " not in said
    listed = run("check", "--unconfirmed", "-c", file)[1]
    assert listed.count("warning: profile ocean: not confirmed: ") == 2
    assert listed.count("not confirmed: ") == len(facts)
    assert "--unconfirmed" not in listed


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        ('link.callback_param = ""', "the tracking link lacks 'callback_param' (mandatory)"),
        ('event_time.param = "when"', "the tracking link lacks 'when' (event_time)"),
        ('dedup = ["nobody"]', "the tracking link lacks 'nobody' (dedup)"),
        ('key = ["nobody", "nothing"]', "the tracking link lacks 'nobody' (key)"),
        ('privacy.callback_param = "drop"', "privacy drops 'callback_param', which dedup or key asks for"),
    ],
)
def test_check_warns_of_a_link_that_brings_too_little(tmp_path: Path, more: str, warning: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        f'[file]\ndirectory="{tmp_path}"\n[[source]]\nname="a"\npath="/a"\nprofile="ocean"\n{more}\n'
    )
    code, said = run("check", "-c", str(path))
    assert code == 0
    assert warning in said


def test_check_warns_of_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f'[file]\ndirectory="{tmp_path}"\n[[source]]\nname="a"\npath="/a"\n')
    code, said = run("check", "-c", str(path))
    assert (code, "warning" in said) == (0, False)


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        ('link.callback_param = "_CALLBACK_PARAM_"', "_CALLBACK_PARAM_ is not how __CALLBACK_PARAM__ is"),
        ('link.did = "__DID__"', "link.did: __DID__ is a macro of Kuaishou"),
        ('link.new = "__QUITE_NEW__"', "if the platform replaces it, add it to the source's macros"),
    ],
)  # fmt: skip
def test_check_judges_the_macros_of_a_link(tmp_path: Path, more: str, warning: str) -> None:
    path = tmp_path / "a.toml"
    source = f'[[source]]\nname="a"\npath="/a"\nprofile="ocean"\n{more}\n'
    path.write_text(f'[file]\ndirectory="{tmp_path}"\n{source}')
    assert warning in run("check", "-c", str(path))[1]


def test_a_macro_that_the_configuration_adds_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    source = '[[source]]\nname="a"\npath="/a"\nprofile="ocean"\nlink.new="__QUITE_NEW__"\n'
    path.write_text(f'[file]\ndirectory="{tmp_path}"\n{source}macros=["__QUITE_NEW__"]\n')
    assert "QUITE_NEW" not in run("check", "-c", str(path))[1]
    link = "https://click.example.com/a?ts=__TS__&callback_param=__CALLBACK_PARAM__&new=__QUITE_NEW__"
    assert run("link", link, "-c", str(path))[0] == 0


def test_check_warns_of_links_over_http(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    base = '[ingest]\npublic_base="http://click.example.com"\n'
    path.write_text(f'{base}[file]\ndirectory="{tmp_path}"\n[[source]]\nname="a"\npath="/a"\n')
    assert "ingest.public_base: platforms call over http" in run("check", "-c", str(path))[1]


RIGHT = "https://trk.example.com/c/ocean/app42?ts=__TS__&callback_param=__CALLBACK_PARAM__"
WRONG = "http://trk.example.com/c/ocaen/app42?ts=__TS__&callback_param=_CALLBACK_PARAM_"


def test_link_names_each_fault_with_its_place_and_the_right_text(file: str) -> None:
    code, said = run("link", WRONG, "--source", "ocean", "-c", file)
    assert code == 1
    misspelt = "_CALLBACK_PARAM_ is not how __CALLBACK_PARAM__ is written; write __CALLBACK_PARAM__"
    assert said.splitlines()[:6] == [
        "ocean (Ocean Engine / Toutiao / Douyin (巨量引擎)): 3 faults",
        "  character 1, http: http instead of https; write https",
        "  character 23, /c/ocaen/app42: the path of source ocean is /c/ocean; write /c/ocean/app42",
        f"  character 63, _CALLBACK_PARAM_: {misspelt}",
        "Corrected:",
        f"  {RIGHT}",
    ]
    assert run("link", RIGHT, "-c", file) == (0, run("link", RIGHT, "--source", "ocean", "-c", file)[1])
    assert "the link is right" in run("link", RIGHT, "-c", file)[1]
    found = orjson.loads(run("link", WRONG, "--json", "-c", file)[1])
    assert (found["source"], found["ok"], found["corrected"]) == ("ocean", False, RIGHT)
    assert [(one["kind"], one["at"], one["write"]) for one in found["faults"]] == [
        ("scheme", 0, "https"), ("path", 22, "/c/ocean/app42"), ("misspelt", 62, "__CALLBACK_PARAM__"),
    ]  # fmt: skip


def test_link_says_what_is_missing_and_what_only_a_person_can_write(file: str) -> None:
    said = run("link", RIGHT.replace("ts=__TS__&", ""), "-c", file)[1]
    assert "at the end: the parameter 'ts' is missing (event_time); add ts=__TS__" in said
    code, said = run("link", "https://trk.example.com/p/net?transaction_id={transaction_id}", "-c", file)
    assert code == 1
    assert "the token is missing after the source's path" in said
    assert "Correct it by hand." in said


def test_link_asks_for_a_source_it_can_find(file: str) -> None:
    code, said = run("link", RIGHT, "--source", "ocaen", "-c", file)
    assert (code, "there is no such source; did you mean 'ocean'?" in said) == (1, True)
    code, said = run("link", "https://trk.example.com/favicon.ico", "-c", file)
    assert (code, "name the source with --source" in said) == (1, True)


def test_explain_judges_the_link_too(file: str) -> None:
    """With a status of its own: the request becomes an event, and its link is wrong."""
    assert explained(file, RIGHT)["link"] == []
    found = explained(file, RIGHT.replace("https", "http") + "&idfa2=__IDFA2__", status=3)
    assert [one["kind"] for one in found["link"]] == ["scheme", "foreign"]
    code, said = run("explain", RIGHT.replace("__CALLBACK_PARAM__", "_CALLBACK_PARAM_"), "-c", file)
    assert code == 3
    assert "link       character 64, _CALLBACK_PARAM_: " in said
    (event,) = explained(file, RIGHT.replace("__CALLBACK_PARAM__", "_CALLBACK_PARAM_"), status=3)["events"]
    assert event["dup_key"]["from"] == "the whole request but sign", "it is not a click id"


def test_explain_suggests_the_source_whose_path_is_near(file: str) -> None:
    found = explained(file, WRONG, status=1)
    assert found["why"] == "no source takes /c/ocaen/app42; did you mean /c/ocean (source ocean)?"


def test_explain_shows_no_signature_with_a_fault_of_its_place(file: str) -> None:
    code, said = run("explain", SAMPLES["baidu signed"] + "&x=1", "-c", file)
    assert code == 1
    assert "the signature 'sign' must be the last parameter" in said
    assert "0ede828d475a87fce7c2e5319a7dd22a" not in said
    assert "0ede828d" not in run("explain", SAMPLES["baidu signed"] + "&x=1", "--json", "-c", file)[1]
