"""Records Kafka will not have: each becomes a dead letter with its reason, and all others arrive."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.clock import WallClock
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, assert_accounts_balance, header, make_topics
from tests.support.kafka.mock import Api, MockCluster
from tests.support.place import open_place
from tests.support.waiting import until
from tests.support.wire import ask, request

BIG = "x" * 20_000
TOPIC_AUTHORIZATION_FAILED, INVALID_TIMESTAMP, INVALID_RECORD, NOT_ENOUGH_REPLICAS = 29, 32, 87, 19
MODES = ["at_least_once", "exactly_once"]


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker that knows who may do what; what nothing is said of everybody may."""
    rules = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with KafkaBroker(tmp_path_factory.mktemp("guarded"), config=rules) as broker:
        yield broker


def send(daemon: KafkaDaemon, number: int, extra: str = "", path: str = "/c/demo") -> None:
    assert ask(daemon.socket, request(f"{path}?n={number}{extra}")).status == 200


def send_together(daemon: KafkaDaemon, requests: list[bytes]) -> None:
    """On connections of their own at one time, so that they share batches."""
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda data=data: answers.append(ask(daemon.socket, data).status))
        for data in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * len(requests)


def arrived(kafka: KafkaBroker | MockCluster, topic: str) -> list[int]:
    values = [orjson.loads(record.value or b"") for record in kafka.consume_all(topic)]
    return sorted(int(value["params"]["n"]) for value in values)


def others_arrive(
    kafka: KafkaBroker, place: Path, topic: str, refused: str, reason: str, mode: str
) -> list[int]:
    """Of two sources in turn one goes to `topic` and arrives, one to `refused`: dead letters for `reason`.

    Returns the dead letters' numbers as they stand in the file.
    """
    sources = [{"name": "demo", "path": "/c/demo"}, {"name": "shut", "path": "/c/shut", "topic": refused}]
    settings = {"topic": topic, "checkpoint_topic": f"{topic}-checkpoint", "delivery": mode}
    with KafkaDaemon(place, kafka.bootstrap, sources=sources, kafka=settings) as daemon:
        for number in range(6):
            send(daemon, number, path=("/c/demo", "/c/shut")[number % 2])
        daemon.drained()
        assert_accounts_balance(daemon)
        letters = [orjson.loads(line) for line in daemon.dead_letters()]
    assert arrived(kafka, topic) == [0, 2, 4]
    assert {(one["reason"], one["topic"]) for one in letters} == {(reason, refused)}
    return [int(one["event"]["params"]["n"]) for one in letters]


@pytest.mark.kafka
@pytest.mark.parametrize("mode", MODES)
def test_too_large_in_mid_batch_goes_to_the_dead_letter_topic_and_the_rest_arrives(
    kafka: KafkaBroker, topic_name: str, place: Path, mode: str
) -> None:
    dead, checkpoints = f"{topic_name}-dead", f"{topic_name}-checkpoint"
    kafka.create_topic(topic_name, 1, {"max.message.bytes": "16384"})
    make_topics(kafka, dead, checkpoints)
    settings = {
        "topic": topic_name, "dead_letter_topic": dead, "checkpoint_topic": checkpoints, "delivery": mode,
        "compression": "none", "linger": "300ms",
    }  # fmt: skip
    with KafkaDaemon(place, kafka.bootstrap, kafka=settings) as daemon:
        send(daemon, 100)  # the partition has a sequence number: a hole in it would be seen
        daemon.drained()
        numbers = range(40)
        send_together(daemon, [request(f"/c/demo?n={n}&big={BIG if n in (7, 21) else ''}") for n in numbers])
        daemon.drained()
        send(daemon, 101)
        daemon.drained()
        assert_accounts_balance(daemon)
        reasons = daemon.status()["sources"]["demo"]["dead_lettered"]
    assert reasons == {"MessageSizeTooLargeError": 2}
    assert arrived(kafka, topic_name) == [n for n in numbers if n not in (7, 21)] + [100, 101]
    assert arrived(kafka, dead) == [7, 21]
    for record in kafka.consume_all(dead):
        assert header(record, "reason") == b"MessageSizeTooLargeError"
        assert header(record, "topic") == topic_name.encode()
        assert orjson.loads(record.value or b"")["params"]["big"] == BIG
    assert daemon.dead_letters() == []


@pytest.mark.kafka
def test_too_large_for_the_dead_letter_topic_as_well_goes_to_the_file(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    dead = f"{topic_name}-dead"
    for name in (topic_name, dead):
        kafka.create_topic(name, 1, {"max.message.bytes": "16384"})
    settings = {"topic": topic_name, "dead_letter_topic": dead, "compression": "none"}
    with KafkaDaemon(place, kafka.bootstrap, kafka=settings) as daemon:
        send(daemon, 1)
        send(daemon, 2, f"&big={BIG}")
        send(daemon, 3)
        daemon.drained()
        assert_accounts_balance(daemon)
        (line,) = daemon.dead_letters()
    letter = orjson.loads(line)
    assert (letter["reason"], letter["topic"]) == ("MessageSizeTooLargeError", topic_name)
    assert letter["event"]["params"] == {"n": "2", "big": BIG}
    assert arrived(kafka, topic_name) == [1, 3]
    assert arrived(kafka, dead) == []


@pytest.mark.kafka
@pytest.mark.parametrize("mode", MODES)
def test_one_sources_unknown_topic_does_not_keep_the_others_back(
    kafka: KafkaBroker, topic_name: str, place: Path, mode: str
) -> None:
    checkpoints = f"{topic_name}-checkpoint"
    make_topics(kafka, topic_name, checkpoints)
    letters = others_arrive(kafka, place, topic_name, "not-there", "UnknownTopicOrPartitionError", mode)
    assert letters == [1, 3, 5]


@pytest.mark.kafka
def test_one_sources_unknown_topic_costs_the_others_a_moment_once_and_not_every_round(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    """aiokafka looks for an unknown topic as long as a request may take."""
    make_topics(kafka, topic_name)
    sources = [{"name": "demo", "path": "/c/demo"}, {"name": "lost", "path": "/c/lost", "topic": "not-there"}]
    patient = {"topic": topic_name, "request_timeout": "60s"}
    with KafkaDaemon(place, kafka.bootstrap, sources=sources, kafka=patient) as daemon:
        for number in range(6):
            send(daemon, number, path=("/c/demo", "/c/lost")[number % 2])
            daemon.drained(20)
        letters = daemon.dead_letters()
    assert (arrived(kafka, topic_name), len(letters)) == ([0, 2, 4], 3)
    assert "topic=not-there" in daemon.log()


@pytest.mark.kafka
def test_a_topic_deleted_under_way_gives_dead_letters_and_not_a_standstill(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    doomed = f"{topic_name}-doomed"
    make_topics(kafka, topic_name, doomed)
    sources = [{"name": "demo", "path": "/c/demo"}, {"name": "doomed", "path": "/c/doomed", "topic": doomed}]
    with KafkaDaemon(place, kafka.bootstrap, sources=sources, kafka={"topic": topic_name}) as daemon:
        send(daemon, 0, path="/c/doomed")
        daemon.drained()
        kafka.delete_topic(doomed)
        send(daemon, 1, path="/c/doomed")
        send(daemon, 2)
        daemon.drained()
        assert_accounts_balance(daemon)
        (letter,) = [orjson.loads(line) for line in daemon.dead_letters()]
    assert letter["event"]["params"]["n"] == "1"
    assert letter["reason"] == "UnknownTopicOrPartitionError"
    assert arrived(kafka, topic_name) == [2]


@pytest.mark.kafka
def test_a_topic_made_again_with_fewer_partitions_is_filled_again(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    kafka.create_topic(topic_name, 12)
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic_name}) as daemon:
        for number in range(30):
            send(daemon, number)
        daemon.drained()
        kafka.delete_topic(topic_name)
        kafka.create_topic(topic_name, 1)
        for number in range(30, 60):
            send(daemon, number)
        daemon.drained()
        assert_accounts_balance(daemon)
        letters = [int(orjson.loads(line)["event"]["params"]["n"]) for line in daemon.dead_letters()]
    assert (arrived(kafka, topic_name), letters) == (list(range(30, 60)), [])


@pytest.mark.kafka
@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_what_may_not_be_written_is_a_dead_letter_and_the_others_arrive(
    guarded: KafkaBroker, topic_name: str, place: Path, mode: str, visible: bool
) -> None:
    forbidden, checkpoints = f"{topic_name}-forbidden", f"{topic_name}-checkpoint"
    make_topics(guarded, topic_name, forbidden, checkpoints)
    guarded.admin.forbid_writing(forbidden, reading=visible)
    letters = others_arrive(guarded, place, topic_name, forbidden, "TopicAuthorizationFailedError", mode)
    assert sorted(letters) == [1, 3, 5]
    assert not visible or arrived(guarded, forbidden) == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (TOPIC_AUTHORIZATION_FAILED, "TopicAuthorizationFailedError"),
        (INVALID_RECORD, "UnknownError"),
    ],
)
def test_a_refusal_by_code_is_a_dead_letter_with_its_reason(
    kafka_mock: MockCluster, place: Path, code: int, reason: str
) -> None:
    kafka_mock.create_topic("clicks")
    with KafkaDaemon(place, kafka_mock.bootstrap) as daemon:
        send(daemon, 0)
        daemon.drained()
        kafka_mock.push_errors(Api.PRODUCE, [code])
        send(daemon, 1)
        daemon.drained()
        send(daemon, 2)
        daemon.drained()
        assert_accounts_balance(daemon)
        (letter,) = [orjson.loads(line) for line in daemon.dead_letters()]
    assert (letter["reason"], letter["event"]["params"]["n"]) == (reason, "1")
    assert arrived(kafka_mock, "clicks") == [0, 2]


@pytest.mark.parametrize("times", [1, 2])
def test_a_refused_timestamp_is_left_out_and_only_a_second_refusal_is_a_dead_letter(
    kafka_mock: MockCluster, place: Path, times: int
) -> None:
    kafka_mock.create_topic("clicks")
    with KafkaDaemon(place, kafka_mock.bootstrap) as daemon:
        send(daemon, 0)
        daemon.drained()
        kafka_mock.push_errors(Api.PRODUCE, [INVALID_TIMESTAMP] * times)
        send(daemon, 1)
        daemon.drained()
        assert_accounts_balance(daemon)
        letters = [orjson.loads(line) for line in daemon.dead_letters()]
    assert arrived(kafka_mock, "clicks") == ([0, 1] if times == 1 else [0])
    assert [letter["reason"] for letter in letters] == ["InvalidTimestampError"] * (times - 1)


@pytest.mark.kafka
def test_a_clock_that_is_a_day_ahead_holds_nothing_up(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    """Kafka takes no timestamp more than an hour ahead: the events arrive without one."""
    if reason := WallClock.why_not():
        pytest.skip(f"NO CLOCK: {reason}")
    make_topics(kafka, topic_name)
    clock = WallClock(place)
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic_name}).start(clock.before) as daemon:
        send(daemon, 0)
        daemon.drained()
        clock.step(86400)
        for number in range(1, 200):
            send(daemon, number)
        daemon.drained()
        clock.step(-86400)
        send(daemon, 200)
        daemon.drained()
        assert daemon.dead_letters() == []
        assert_accounts_balance(daemon)
    records = kafka.consume_all(topic_name)
    assert arrived(kafka, topic_name) == list(range(201))
    dated = [orjson.loads(one.value or b"")["params"]["n"] for one in records if one.timestamp > 0]
    assert sorted(dated) == ["0", "200"]


def test_what_may_pass_is_tried_until_it_does(kafka_mock: MockCluster, place: Path) -> None:
    kafka_mock.create_topic("clicks")
    with KafkaDaemon(place, kafka_mock.bootstrap) as daemon:
        send(daemon, 0)
        daemon.drained()
        # CORRUPT_MESSAGE, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH: a new producer is the cure.
        for number, code in enumerate([2, 45, 47, NOT_ENOUGH_REPLICAS, 6, 56], start=1):
            kafka_mock.push_errors(Api.PRODUCE, [code, code])
            send(daemon, number)
            daemon.drained()
        assert daemon.dead_letters() == []
        assert_accounts_balance(daemon)
    assert arrived(kafka_mock, "clicks") == list(range(7))


@pytest.mark.kafka
def test_dead_letters_that_cannot_be_kept_hold_delivery_back_until_they_can(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    make_topics(kafka, topic_name)
    sources = [{"name": "demo", "path": "/c/demo"}, {"name": "lost", "path": "/c/lost", "topic": "not-there"}]
    with KafkaDaemon(place, kafka.bootstrap, sources=sources, kafka={"topic": topic_name}) as daemon:
        daemon.dead.write_text("a file where the directory belongs")
        send(daemon, 1, path="/c/lost")
        until(lambda: "dead letters" in daemon.kafka_status()["error"], "an error in /status")
        assert daemon.spooled() > 0
        daemon.dead.unlink()
        daemon.drained()
        assert len(daemon.dead_letters()) == 1
        assert_accounts_balance(daemon)


@pytest.mark.kafka
def test_a_refusal_while_the_rest_of_its_transaction_is_being_queued_costs_the_others_nothing(
    guarded: KafkaBroker, topic_name: str, place: Path
) -> None:
    """aiokafka then says of every further batch that there is no transaction; compressing takes so long."""
    forbidden, checkpoints = f"{topic_name}-forbidden", f"{topic_name}-checkpoint"
    for name in (topic_name, forbidden, checkpoints):
        guarded.create_topic(name, 1)
    guarded.admin.forbid_writing(forbidden, reading=True)
    sources = [{"name": "shut", "path": "/c/shut", "topic": forbidden}, {"name": "demo", "path": "/c/demo"}]
    settings = {
        "topic": topic_name, "checkpoint_topic": checkpoints, "delivery": "exactly_once", "linger": "2s",
        "compression": "gzip",
    }  # fmt: skip
    with KafkaDaemon(place, guarded.bootstrap, sources=sources, kafka=settings) as daemon:
        for number in range(80):
            big = random.Random(number).randbytes(10_000).hex()
            send(daemon, number, f"&big={big}", path=("/c/shut", "/c/demo")[number // 40])
        daemon.drained()
        assert_accounts_balance(daemon)
        assert len(daemon.dead_letters()) == 40
        assert daemon.stop() == 0
    assert arrived(guarded, topic_name) == list(range(40, 80))
