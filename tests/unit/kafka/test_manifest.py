"""What Kafka has confirmed, by source and hour: what is kept, published and forgotten."""

from __future__ import annotations

from typing import Any

import orjson

from ingestd.kafka.batches import Chunk
from ingestd.kafka.manifest import KEEP_HOURS, MAX_PARTS, PAUSE, PERIOD, KafkaManifest, count_rows
from ingestd.kafka.records import record_of, source_of
from ingestd.kafka.state import Progress, State
from ingestd.spool.envelope import events
from ingestd.spool.spool import Position
from ingestd.tally import HOUR_MS, Row, Rows, Tally
from tests.support.event_files import HOUR, event
from tests.support.kafka_manifest import Wall, rows_of


def made(wall: Wall) -> KafkaManifest:
    return KafkaManifest("manifest", "host/1", wall)


def publish(manifest: KafkaManifest, *, all_of_it: bool = False) -> list[dict[str, Any]]:
    sent = manifest.records(all_of_it=all_of_it)
    if sent:
        manifest.published(sent)
    return [orjson.loads(record.value) for _, record in sent]


def test_records_are_counted_as_their_lines_in_files_are() -> None:
    lines = [event(n, ("demo", "ocean")[n % 2], n % 3) for n in range(40)]
    tally = Tally()
    tally.add(line[:-1] for line in lines)
    assert rows_of(*lines) == tally.rows


def test_a_row_is_published_once_a_period_and_cumulative() -> None:
    wall = Wall()
    manifest = made(wall)
    manifest.add(rows_of(event(1)))
    assert not manifest.due()
    assert publish(manifest) == []
    wall.now += PERIOD
    assert manifest.due()
    [first] = publish(manifest)
    assert not manifest.due()
    manifest.add(rows_of(event(2)))
    wall.now += PERIOD
    [second] = publish(manifest)
    assert (first["events"], second["events"]) == (1, 2)
    assert first["part"] == second["part"]
    assert second["hour"] == "2023-11-14T22"
    assert Row.parse(second) == rows_of(event(1), event(2))["demo", HOUR]


def test_the_key_of_a_row_is_its_instance_source_hour_and_part() -> None:
    manifest = made(Wall())
    manifest.add(rows_of(event(1)))
    [(_, record)] = manifest.records(all_of_it=True)
    part = orjson.loads(record.value)["part"]
    assert record.key == f"host/1/demo/2023-11-14T22/{part}".encode()
    assert record.topic == "manifest"


def test_an_hour_that_is_over_is_published_at_once_but_not_at_every_round() -> None:
    wall = Wall()
    manifest = made(wall)
    manifest.add(rows_of(event(1, hours=-1)))
    assert manifest.due()
    publish(manifest)
    manifest.add(rows_of(event(2, hours=-1)))
    assert not manifest.due()
    wall.now += PAUSE
    assert manifest.due()


def test_at_the_end_everything_goes_whatever_the_time() -> None:
    manifest = made(Wall())
    manifest.add(rows_of(event(1), event(2, "ocean")))
    assert len(publish(manifest, all_of_it=True)) == 2
    assert publish(manifest, all_of_it=True) == []


def test_what_failed_is_tried_again_later_and_counted() -> None:
    wall = Wall()
    manifest = made(wall)
    manifest.add(rows_of(event(1, hours=-1)))
    manifest.failed("no such topic")
    assert (manifest.failures, manifest.due()) == (1, False)
    wall.now += PERIOD
    assert manifest.due()


def test_what_was_saved_is_taken_up_and_goes_on_in_the_same_part() -> None:
    wall = Wall()
    before, after = made(wall), made(wall)
    before.add(rows_of(event(1)))
    wall.now += 5
    after.load(orjson.loads(orjson.dumps(before.tree())))
    after.add(rows_of(event(2)))
    [(key, old)] = before.records(all_of_it=True)
    [(_, new)] = after.records(all_of_it=True)
    assert (key, old.key) == (("demo", HOUR), new.key)
    assert orjson.loads(new.value)["events"] == 2


def test_what_is_about_to_be_confirmed_can_be_saved_with_the_rest_before_it_counts() -> None:
    manifest = made(Wall())
    manifest.add(rows_of(event(1)))
    [tree] = manifest.tree(rows_of(event(2)))
    assert tree["events"] == 2
    assert manifest.tree()[0]["events"] == 1
    manifest.add(rows_of(event(2)))
    assert manifest.tree() == [tree]


def test_a_part_long_over_is_forgotten_once_published_and_a_late_event_begins_another() -> None:
    wall = Wall()
    manifest = made(wall)
    manifest.add(rows_of(event(1)))
    wall.now += 3600 * (KEEP_HOURS + 1)
    assert manifest.tree() != []
    [first] = publish(manifest)
    assert manifest.tree() == []
    manifest.add(rows_of(event(2)))
    [second] = publish(manifest, all_of_it=True)
    assert first["part"] != second["part"]
    assert first["events"] + second["events"] == 2


def test_there_are_never_many_more_parts_than_the_limit() -> None:
    wall = Wall()
    wall.now += 3600 * 3000
    manifest = made(wall)
    for number in range(MAX_PARTS + 300):
        manifest.add({("demo", int(wall.now * 1000) // HOUR_MS - number % 2 + 10 * number): Row(1, 1, 1)})
    publish(manifest, all_of_it=True)
    assert len(manifest.tree()) == MAX_PARTS


def test_a_row_that_cannot_be_read_is_left_out_and_the_rest_taken_up() -> None:
    manifest, other = made(Wall()), made(Wall())
    other.add(rows_of(event(1)))
    manifest.load([{"source": "demo"}, *other.tree()])
    assert manifest.tree() == other.tree()
    manifest.load(None)
    assert manifest.tree() == []


def test_the_manifest_is_saved_in_one_file_with_the_progress(tmp_path: Any) -> None:
    manifest = made(Wall())
    manifest.add(rows_of(event(1)))
    start, end = Position.parse("1:0"), Position.parse("1:100")
    file = State(tmp_path, "one")
    file.save(Progress([], end, manifest.tree()))
    assert file.load(start, end).manifest == manifest.tree()
    # Of a spool that was replaced the position is of no use; what was delivered was delivered.
    other = file.load(Position.parse("5:0"), Position.parse("5:10"))
    assert (other.live, other.manifest) == (Position.parse("5:0"), manifest.tree())


def test_a_record_without_events_is_never_published() -> None:
    manifest = made(Wall())
    manifest.tree(rows_of(event(1)))  # a round that was never confirmed
    assert manifest.records(all_of_it=True) == []


def test_two_sources_in_one_batch_are_told_apart() -> None:
    lines = event(1) + event(2, "ocean") + event(3)
    mixed = [record_of(one, source_of(one.line).decode(), "clicks") for one in events(lines)]
    found: Rows = {}
    count_rows(found, Chunk.of("clicks", 0, mixed).groups)
    assert {key: row.events for key, row in found.items()} == {("demo", HOUR): 2, ("ocean", HOUR): 1}
