"""Every undocumented name of aiokafka that ingestd uses is there, and is used in one module only."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, codec
from aiokafka.errors import ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from packaging.requirements import Requirement

from ingestd.kafka.aiokafka_internals import ReadyBatch, RecordEncoder, decode_batch, fetch_metadata, kill

ROOT = Path(__file__).parents[3]
# What aiokafka's documentation promises.
DOCUMENTED = {"aiokafka", "aiokafka.admin", "aiokafka.errors", "aiokafka.helpers"}
OURS = {"self", "cls"}


async def with_producer(look: Callable[[Any], Awaitable[None]]) -> None:
    """A producer that has never been started."""
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", enable_idempotence=True)
    try:
        await look(producer)
    finally:
        producer._closed = True


async def test_a_producer_has_what_killing_it_takes() -> None:
    async def look(producer: Any) -> None:
        assert producer._closed is False
        assert producer._sender.sender_task is None
        assert list(inspect.signature(producer._message_accumulator.fail_all).parameters) == ["exception"]
        assert inspect.iscoroutinefunction(producer.client.close)
        pending = producer._message_accumulator._append_batch(ReadyBatch(lambda *_: b"", 1, 0), ("topic", 0))
        await kill(producer)
        assert isinstance(pending.future.exception(), ProducerClosed)

    await with_producer(look)


async def test_producers_and_consumers_have_a_client_that_can_be_asked_for_all_topics() -> None:
    async def look(producer: Any) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
        try:
            for client, inner in ((producer, producer.client), (consumer, consumer._client)):
                assert inspect.iscoroutinefunction(inner.fetch_all_metadata)
                inner.fetch_all_metadata = lambda answer=client: answering(answer)
                assert await fetch_metadata(client) is client
        finally:
            consumer._closed = True

    async def answering(answer: object) -> object:
        return answer

    await with_producer(look)


def methods(kind: type) -> dict[str, inspect.Signature]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(function) for name, function in found if name != "__init__"}


def test_a_ready_batch_replaces_all_that_aiokafka_calls_on_its_own() -> None:
    """Nothing of the builder is set up, so a method that is not replaced would fail while sending."""
    theirs, ours = methods(BatchBuilder), methods(ReadyBatch)
    assert set(theirs) == {
        "_build", "_serialize", "_set_producer_state", "append", "close", "closed", "record_count", "size"
    }  # fmt: skip
    # `_serialize` is called by their `append` alone.
    for name in set(theirs) - {"_serialize", "append"}:
        assert list(ours[name].parameters) == list(theirs[name].parameters)
        assert getattr(ReadyBatch, name) is not getattr(BatchBuilder, name)
    assert ReadyBatch.append is not BatchBuilder.append


def test_the_record_format_is_read_and_written_by_these() -> None:
    for name in ("append", "build", "size", "size_in_bytes"):
        assert callable(getattr(DefaultRecordBatchBuilder, name))
    assert hasattr(DefaultRecordBatch, "__iter__")
    encoder = RecordEncoder()
    encoder.append(7, None, b"value", [("id", b"1")])
    assert (encoder.count, encoder.first, encoder.latest) == (1, 7, 7)
    assert encoder.body()


@pytest.mark.parametrize(
    ("name", "level"), [("gzip", "compresslevel"), ("lz4", "level"), ("zstd", "level"), ("snappy", None)]
)
def test_the_codecs_take_a_level(name: str, level: str | None) -> None:
    parameters = list(inspect.signature(getattr(codec, f"{name}_encode")).parameters)
    assert parameters[0] == "payload"
    assert level is None or parameters[1] == level


def test_a_decoded_record_is_the_one_that_was_encoded() -> None:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 20
    )
    builder.append(0, 12, b"key", b"value", [("a", b"1")])
    builder.append(1, 11, None, b"", [])
    assert list(decode_batch(bytes(builder.build()))) == [
        (12, b"key", b"value", [("a", b"1")]),
        (11, None, b"", []),
    ]


# where they are used


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in (ROOT / "ingestd").rglob("*.py"):
        if path.name != "aiokafka_internals.py":
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def touches(tree: ast.Module) -> Iterator[str]:
    """What a module uses of aiokafka beyond its documentation."""
    knows_it = False
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        knows_it = knows_it or any(name.split(".")[0] == "aiokafka" for name in names)
        yield from (name for name in names if name.split(".")[0] == "aiokafka" and name not in DOCUMENTED)
    if not knows_it:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_(?!_|replace$)", node.attr):
            of_ours = isinstance(node.value, ast.Name) and node.value.id in OURS
            if not of_ours:
                yield ast.unparse(node)


def test_no_other_module_touches_what_is_not_documented() -> None:
    assert {name: list(touches(tree)) for name, tree in sources() if list(touches(tree))} == {}


def test_such_a_touch_is_found() -> None:
    code = "from aiokafka.cluster import ClusterMetadata\nproducer._sender.close()\nself._client = 1\n"
    assert list(touches(ast.parse(code))) == ["aiokafka.cluster", "producer._sender"]


def test_the_minor_version_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [wanted] = [one for one in map(Requirement, project["dependencies"]) if one.name == "aiokafka"]
    assert "0.14.7" in wanted.specifier
    assert "0.15.0" not in wanted.specifier
    assert "0.13.9" not in wanted.specifier
