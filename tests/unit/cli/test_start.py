"""How a command starts: it imports what it needs, and nothing of the others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ingestd.cli import SECTIONS, main
from ingestd.cli.version import COMPILED
from tests.support import commands

SUMMARIES = {name: summary for section in SECTIONS.values() for name, summary in section.items()}


def imported_by(*arguments: str) -> set[str]:
    """The modules a fresh interpreter has when `ingestd` with these arguments ends with status 0."""
    program = (
        "import sys\nfrom ingestd.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('modules:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("arguments", [("--help",), ("version",), ("schema",)])
def test_what_reads_no_configuration_imports_none_of_the_daemon(arguments: tuple[str, ...]) -> None:
    own = {"ingestd", "ingestd.errors", "ingestd.event", "ingestd.cli", "ingestd.sources.event_schema"}
    own |= {f"ingestd.cli.{name}" for name in (arguments[0], "options")}
    own |= {name.rpartition(".")[0] for name in COMPILED}  # the empty packages of what `version` looks for
    own |= {"ingestd._hot__mypyc"}  # `event` compiled is in one library with the hot path
    modules = imported_by(*arguments)
    assert {name for name in modules if name.partition(".")[0] == "ingestd"} <= own
    assert not modules & {"pydantic", "aiokafka", "asyncio", "uvloop", "prometheus_client"}


@pytest.mark.parametrize("words", [("explain", "/c/demo?ts=1"), ("check",), ("sources",)], ids=" ".join)
def test_what_does_not_speak_to_kafka_does_not_import_it(words: tuple[str, ...]) -> None:
    modules = imported_by(*words, "-c", "conf/quickstart.toml")
    assert "pydantic" in modules, "it has read the configuration"
    assert not modules & {"aiokafka", "ingestd.app", "uvloop", "prometheus_client"}


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_list_of_commands_has_the_first_line_of_each_commands_help(name: str) -> None:
    """It is written twice so that the list imports no command."""
    text = commands.named(main, name).help or ""
    assert text.splitlines()[0] == SUMMARIES[name]
