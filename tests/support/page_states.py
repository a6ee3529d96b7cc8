"""The five states in which somebody looks at the page, each made with real parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from tests.support.disk import filled
from tests.support.kafka.mock import MockCluster
from tests.support.kafka.tmpfs import tmpfs
from tests.support.page_stage import PLATFORMS, Stage, Traffic, staged
from tests.support.waiting import until

# What a misbehaving source sends: the click id's macro was never replaced.
UNREPLACED = "/c/ocean/app42?ts=1718000000123&callback_param=__CALLBACK_PARAM__&imei=__IMEI__"
FORGED = "/c/baidu/app42?userid=1&click_id=x1&ts=1718000002789&sign=00000000000000000000000000000000"


def codes(stage: Stage) -> list[str]:
    """The findings of the page's verdict, the worst first."""
    return [one["code"] for one in stage.api("now")["health"]["findings"]]


@contextmanager
def idle(place: Path, seconds: float = 0.0) -> Iterator[Stage]:
    """Everything is ready and no click has come."""
    with staged(place) as stage:
        until(lambda: codes(stage) == ["waiting"], "it waits")
        yield stage


@contextmanager
def load(place: Path, seconds: float = 0.0) -> Iterator[Stage]:
    """Clicks of all platforms, to files and Kafka, for so many seconds and on."""
    with (
        MockCluster() as kafka,
        staged(place, PLATFORMS, sections=_kafka(kafka, place)) as stage,
        _traffic(stage, 3),
    ):
        until(lambda: codes(stage)[0] == "well", "it is well")
        time.sleep(seconds)
        stage.rotate()
        yield stage


@contextmanager
def kafka_unreachable(place: Path, seconds: float = 0.0) -> Iterator[Stage]:
    """Under load Kafka goes away, and stays away for so many seconds and on."""
    with (
        MockCluster() as kafka,
        staged(place, PLATFORMS, sections=_kafka(kafka, place)) as stage,
        _traffic(stage, 3),
    ):
        until(lambda: stage.api("now")["totals"]["delivered"].get("kafka", 0) > 50, "Kafka has clicks")
        time.sleep(seconds / 2)
        kafka.broker_down()
        until(lambda: codes(stage)[0] in ("kafka_unreachable", "spool_fills"), "Kafka is missed")
        time.sleep(seconds)
        yield stage


@contextmanager
def disk_full(place: Path, seconds: float = 0.0) -> Iterator[Stage]:
    """Under load the disk of the files becomes full."""
    directory = place / "clicks"
    with ExitStack() as undo:
        undo.enter_context(tmpfs(directory, "64m"))
        stage = undo.enter_context(staged(place))
        undo.enter_context(_traffic(stage, 2))
        until(lambda: stage.api("now")["totals"]["stored"] > 50, "clicks are stored")
        time.sleep(seconds / 2)
        undo.enter_context(filled(directory))
        until(lambda: codes(stage)[0] == "disk_full", "the disk is full")
        time.sleep(seconds)
        yield stage


@contextmanager
def misbehaving(place: Path, seconds: float = 0.0) -> Iterator[Stage]:
    """A source sends its click id's macro, another wrong signatures."""
    key = place / "baidu.key"
    key.write_text("the-key-of-baidu\n")
    key.chmod(0o640)
    signed = {"signature": {"kind": "md5_url_key", "param": "sign", "key_file": str(key)}}
    sources = [{**one, **(signed if one["name"] == "baidu" else {})} for one in PLATFORMS]
    odd = [UNREPLACED, FORGED, "/c/ocaen/app42?ts=1718000000123"]
    with staged(place, sources) as stage, Traffic(stage, odd=odd, only_odd=True), _traffic(stage, 1):
        until(lambda: {"source_macros", "source_signatures"} <= set(codes(stage)), "they are named")
        time.sleep(seconds)
        yield stage


State = Callable[..., AbstractContextManager[Stage]]
STATES: dict[str, State] = {
    "idle": idle,
    "load": load,
    "kafka-unreachable": kafka_unreachable,
    "disk-full": disk_full,
    "misbehaving": misbehaving,
}


def _kafka(cluster: MockCluster, place: Path) -> dict[str, Mapping[str, object]]:
    cluster.create_topic("clicks", 4)
    return {
        "file": {"directory": str(place / "clicks")},
        "kafka": {
            "bootstrap": [cluster.bootstrap], "topic": "clicks",
            "dead_letter_directory": str(place / "dead"),
        },
        "spool": {"directory": str(place / "spool"), "max_bytes": "8GiB"},
    }  # fmt: skip


@contextmanager
def _traffic(stage: Stage, threads: int) -> Iterator[None]:
    with ExitStack() as running:
        for number in range(threads):
            running.enter_context(Traffic(stage, seed=number))
        yield
