"""A systemd unit put together from its file and drop-ins, as systemd would."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestd.cli.unit_file import read, seconds
from ingestd.errors import IngestdError

SHIPPED = Path(__file__).parents[3] / "systemd"


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_shipped_units_are_read(tmp_path: Path) -> None:
    for name in ("ingestd.service", "ingestd@.service"):
        put(tmp_path, f"etc/systemd/system/{name}", (SHIPPED / name).read_text())
    one = read("ingestd", tmp_path)
    assert one.command() == ["/opt/ingestd/bin/ingestd", "serve", "-c", "/etc/ingestd/ingestd.toml"]
    assert (one.last("User"), one.words("StateDirectory"), one.yes("ProtectHome")) == (
        "ingestd",
        ["ingestd"],
        True,
    )
    third = read("ingestd@3.service", tmp_path)
    assert third.environment()["INGESTD_ADMIN_LISTEN"] == "tcp:127.0.0.1:9403"
    assert third.environment()["INGESTD_INGEST_INSTANCE"].endswith('-3"')


def test_drop_ins_are_laid_over_it_by_name_and_priority(tmp_path: Path) -> None:
    put(
        tmp_path,
        "usr/lib/systemd/system/a@.service",
        "[Service]\nExecStart=/bin/a\nReadWritePaths=/x\nUser=u\n",
    )
    put(tmp_path, "usr/lib/systemd/system/a@.service.d/20.conf", "[Service]\nReadWritePaths=/hidden\n")
    put(tmp_path, "etc/systemd/system/a@.service.d/20.conf", "[Service]\nReadWritePaths=/y /z\nUser=v\n")
    put(
        tmp_path,
        "run/systemd/system/a@1.service.d/10.conf",
        "[Service]\nExecStart=\nExecStart=-/bin/b \\\n  -c /c\n",
    )
    put(tmp_path, "etc/systemd/system/a@1.service.d/30.conf", "[Unit]\nUser=nobody\n[Service]\n# User=no\n")
    unit = read("a@1", tmp_path)
    assert unit.words("ReadWritePaths") == ["/x", "/y", "/z"]
    assert unit.last("User") == "v"
    assert unit.command() == ["/bin/b", "-c", "/c"]
    assert [path.name for path in unit.files] == ["a@.service", "10.conf", "20.conf", "30.conf"]
    assert read("a@2", tmp_path).command() == ["/bin/a"]


def test_a_drop_in_that_is_dev_null_hides_the_one_below(tmp_path: Path) -> None:
    put(tmp_path, "lib/systemd/system/a.service", "[Service]\nUser=u\n")
    put(tmp_path, "lib/systemd/system/a.service.d/10.conf", "[Service]\nUser=v\n")
    assert read("a", tmp_path).last("User") == "v"
    (tmp_path / "etc/systemd/system/a.service.d").mkdir(parents=True)
    (tmp_path / "etc/systemd/system/a.service.d/10.conf").symlink_to("/dev/null")
    assert read("a", tmp_path).last("User") == "u"


def test_its_environment_is_that_of_settings_and_files(tmp_path: Path) -> None:
    put(tmp_path, "etc/ingestd/1.env", '# a comment\nB="two words"\nC=3\n\n')
    folder = tmp_path / "etc/ingestd"
    more = f"EnvironmentFile={folder}/%i.env\nEnvironmentFile=-{folder}/gone.env\n"
    text = f"[Service]\nEnvironment=A=1 'B=one'\nEnvironment=D=100%%\n{more}"
    put(tmp_path, "etc/systemd/system/a@.service", text)
    assert read("a@1", tmp_path).environment() == {"A": "1", "B": "two words", "C": "3", "D": "100%"}
    with pytest.raises(IngestdError, match=r"EnvironmentFile=.*/2\.env: No such file"):
        read("a@2", tmp_path).environment()


def test_a_unit_that_is_not_there_is_an_error_that_says_what_installs_it(tmp_path: Path) -> None:
    with pytest.raises(IngestdError, match=r"no unit ingestd\.service; `ingestd install-units`"):
        read("ingestd", tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [("30s", 30), ("90", 90), ("1min 30s", 90), ("2min", 120), ("500ms", 0.5), ("1h", 3600),
     ("infinity", None), ("a while", None), ("", None)],
)  # fmt: skip
def test_a_time_span_is_read_as_systemd_reads_it(text: str, found: float | None) -> None:
    assert seconds(text) == found
