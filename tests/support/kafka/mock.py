"""librdkafka's mock cluster, reached by ctypes: error codes in milliseconds, and no Java.

It answers most of the protocol from memory but checks no sequence numbers (a lost ack shows as a
duplicate), keeps some 5 MiB a partition and cannot create topics by request. The functions are
those of librdkafka's rdkafka_mock.h, from the shared library inside the confluent-kafka wheel.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

from tests.support.kafka.clients import Isolation, Record, consume_all

RD_KAFKA_PRODUCER = 0
RD_KAFKA_CONF_OK = 0


class Api(IntEnum):
    """Request types, by their number in the Kafka protocol."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    FIND_COORDINATOR = 10
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    TXN_OFFSET_COMMIT = 28
    SASL_AUTHENTICATE = 36


class MockClusterError(Exception):
    """librdkafka refused; the message says what."""


def _load() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    bundled = sorted((package.parent / "confluent_kafka.libs").glob("librdkafka-*.so*"))
    library = ctypes.CDLL(str(bundled[0]) if bundled else "librdkafka.so.1")
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    size, pointers = ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)
    signatures = {
        "rd_kafka_conf_new": (pointer, ()),
        "rd_kafka_conf_set": (number, (pointer, text, text, text, size)),
        "rd_kafka_new": (pointer, (number, pointer, text, size)),
        "rd_kafka_destroy": (None, (pointer,)),
        "rd_kafka_mock_cluster_new": (pointer, (pointer, number)),
        "rd_kafka_mock_cluster_destroy": (None, (pointer,)),
        "rd_kafka_mock_cluster_bootstraps": (text, (pointer,)),
        "rd_kafka_mock_topic_create": (number, (pointer, text, number, number)),
        "rd_kafka_mock_topic_set_error": (None, (pointer, text, number)),
        "rd_kafka_mock_partition_set_leader": (number, (pointer, text, ctypes.c_int32, ctypes.c_int32)),
        "rd_kafka_mock_broker_set_down": (number, (pointer, ctypes.c_int32)),
        "rd_kafka_mock_broker_set_up": (number, (pointer, ctypes.c_int32)),
        "rd_kafka_mock_broker_set_rtt": (number, (pointer, ctypes.c_int32, number)),
        "rd_kafka_mock_broker_set_host_port": (number, (pointer, ctypes.c_int32, text, number)),
        "rd_kafka_mock_push_request_errors_array": (
            None,
            (pointer, ctypes.c_int16, size, ctypes.POINTER(number)),
        ),
        "rd_kafka_mock_clear_request_errors": (None, (pointer, ctypes.c_int16)),
        "rd_kafka_mock_start_request_tracking": (None, (pointer,)),
        "rd_kafka_mock_get_requests": (pointers, (pointer, ctypes.POINTER(size))),
        "rd_kafka_mock_request_api_key": (ctypes.c_int16, (pointer,)),
        "rd_kafka_mock_request_destroy_array": (None, (pointers, size)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """`brokers` mock brokers, numbered from 1, from `__enter__` to `__exit__`."""

    def __init__(self, brokers: int = 1) -> None:
        self._library = _load()
        self._brokers = brokers
        self._client: int | None = None
        self._cluster: int | None = None

    def start(self) -> None:
        """Raises MockClusterError."""
        library, message = self._library, ctypes.create_string_buffer(512)
        config = library.rd_kafka_conf_new()
        if library.rd_kafka_conf_set(config, b"log_level", b"0", message, len(message)) != RD_KAFKA_CONF_OK:
            raise MockClusterError(message.value.decode())
        self._client = library.rd_kafka_new(RD_KAFKA_PRODUCER, config, message, len(message))
        if not self._client:
            raise MockClusterError(message.value.decode())
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, self._brokers)
        if not self._cluster:
            raise MockClusterError(f"no mock cluster of {self._brokers} brokers")
        library.rd_kafka_mock_start_request_tracking(self._cluster)

    def stop(self) -> None:
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        if self._client:
            self._library.rd_kafka_destroy(self._client)
        self._cluster = self._client = None

    @property
    def bootstrap(self) -> str:
        """Comma-separated host:port of all brokers."""
        found: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return found.decode()

    def create_topic(self, name: str, partitions: int = 1) -> str:
        self._check(
            self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1), name
        )
        return name

    def set_topic_error(self, name: str, code: int) -> None:
        """Let metadata of the topic carry `code`; 0 ends it."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), code)

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        """Move a partition to `broker`; -1 leaves it without a leader."""
        done = self._library.rd_kafka_mock_partition_set_leader(
            self._cluster, topic.encode(), partition, broker
        )
        self._check(done, f"leader of {topic}/{partition}")

    def push_errors(self, api: Api, codes: Sequence[int]) -> None:
        """Answer the next len(codes) requests of this type with these codes (KafkaError.*), in turn."""
        errors = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(codes), errors)

    def clear_errors(self, api: Api) -> None:
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, api)

    def broker_down(self, broker: int = 1) -> None:
        """Close the broker's connections and refuse new ones."""
        self._check(
            self._library.rd_kafka_mock_broker_set_down(self._cluster, broker), f"broker {broker} down"
        )

    def broker_up(self, broker: int = 1) -> None:
        """Listen again on the same port."""
        self._check(self._library.rd_kafka_mock_broker_set_up(self._cluster, broker), f"broker {broker} up")

    def set_rtt(self, milliseconds: int, broker: int = 1) -> None:
        """Delay each of the broker's answers."""
        done = self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds)
        self._check(done, f"round trip of broker {broker}")

    def advertise(self, host: str, port: int, broker: int = 1) -> None:
        """Name another address in metadata, such as a proxy's."""
        done = self._library.rd_kafka_mock_broker_set_host_port(self._cluster, broker, host.encode(), port)
        self._check(done, f"address of broker {broker}")

    def requests(self) -> Counter[int]:
        """How many requests of each type came since the start."""
        count = ctypes.c_size_t()
        found = self._library.rd_kafka_mock_get_requests(self._cluster, ctypes.byref(count))
        if not count.value:
            return Counter()
        keys = Counter(self._library.rd_kafka_mock_request_api_key(found[i]) for i in range(count.value))
        self._library.rd_kafka_mock_request_destroy_array(found, count)
        return keys

    def consume_all(self, topic: str, isolation: Isolation = "read_committed") -> list[Record]:
        return consume_all(self.bootstrap, topic, isolation)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @staticmethod
    def _check(code: int, what: str) -> None:
        if code != 0:
            raise MockClusterError(f"{what}: librdkafka error {code}")
