"""What every test shares: how Hypothesis searches, and the loop that a coroutine runs in."""

from __future__ import annotations

import inspect
import os

import pytest
from hypothesis import HealthCheck, settings

from tests.support import interpreted
from tests.support.loop import run

# No deadline: a slow example on a busy machine is not a wrong one. A failure prints how to repeat it.
settings.register_profile(
    "usual", deadline=None, print_blob=True, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("usual"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

# Under tests/; another folder is in between.
SLOW_FIRST = {"kafka": -3, "systemd": -2, "integration": -1, "unit": 2}


def pytest_configure() -> None:
    """Refuse to test a compiled module that is older than its source."""
    for module in interpreted.hot():
        built = interpreted.built(module)
        if built is not None and built.stat().st_mtime < module.stat().st_mtime:
            raise pytest.UsageError(
                f"{module.name} has changed since mypyc compiled it, and Python takes what is compiled: "
                "`tests/run` builds it anew, `INGESTD_MYPYC=no pip install -e .` runs all as it stands"
            )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In processes side by side the slow folders come first: at the end small files fill the gaps."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: SLOW_FIRST.get(item.path.relative_to(config.rootpath).parts[1], 1))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in a uvloop of its own. Its fixtures run outside of it."""
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters.keys() & pyfuncitem.funcargs.keys()
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the tests of Kafka ran against, where there were any."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    if any(getattr(report, "nodeid", "").startswith("tests/kafka/") for report in reports):
        from tests.support.kafka.fixtures import ran_against  # loads libraries that most tests do without

        terminalreporter.write_line(ran_against())
