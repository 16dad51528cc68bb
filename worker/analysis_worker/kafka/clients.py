"""The ports on real Kafka, by aiokafka. Only it and `group_offsets` talk to brokers while a worker runs."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import aiokafka
from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import CreateTopicsRequest

from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import connecting, group_offsets, ports

_FOR_GOOD = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.AuthenticationFailedError,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.InvalidTopicError,
    errors.TransactionalIdAuthorizationFailed,
    ssl.SSLCertVerificationError,
)


_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_REQUEST_SECONDS = 40.0  # aiokafka's default of request_timeout_ms
_CLOSE_SECONDS = 5.0


@contextlib.contextmanager
def _translated(doing: str, refused: tuple[type[Exception], ...] = _FOR_GOOD) -> Iterator[None]:
    """aiokafka's errors as the ports' two: worth another try, or refused for good."""
    try:
        yield
    except errors.OffsetOutOfRangeError as error:
        positions = {TopicPartition(*partition): offset for partition, offset in error.args[0].items()}
        raise ports.OffsetsOutOfRange(positions) from error
    except refused as error:
        raise ports.KafkaRefused(f"{doing}: {type(error).__name__}: {error}") from error
    except (errors.KafkaError, OSError, TimeoutError) as error:
        raise ports.KafkaUnavailable(f"{doing}: {type(error).__name__}: {error}") from error


def _bound(arguments: Mapping[str, Any]) -> float:
    """How long a call may try, in s: by themselves commits and sends try for ever while no broker answers."""
    return float(arguments.get("request_timeout_ms", _REQUEST_SECONDS * 1000)) / 1000


async def _tell_why(error: BaseException, arguments: Mapping[str, Any]) -> None:
    """Raise the reason why no broker could be reached, which aiokafka only writes to its log."""
    if not isinstance(error, errors.KafkaConnectionError):
        return
    server = arguments["bootstrap_servers"][0]
    host, _, port = server.rpartition(":")
    names = ("security_protocol", "ssl_context", "request_timeout_ms")
    wanted = {name: value for name, value in arguments.items() if name in names or name.startswith("sasl_")}
    try:
        connection = await create_conn(host.strip("[]"), int(port), **wanted)
    except ssl.SSLCertVerificationError:
        raise
    except OSError as reason:
        raise errors.KafkaConnectionError(f"{server}: {reason}") from error
    connection.close()


async def _closed(close: Callable[[], Awaitable[None]]) -> None:
    """End a client whatever comes of it.

    A task of its own keeps apart what aiokafka lets escape while no broker answers: the cancellation of its
    own requests, which would look like one of the caller.
    """
    closing = asyncio.ensure_future(close())
    await asyncio.wait([closing], timeout=_CLOSE_SECONDS)
    if not closing.cancel() and not closing.cancelled():
        closing.exception()  # seen: there is nothing left to do about it


class KafkaSource:
    """A consumer with partitions assigned by hand, and the offsets of the group that it is no member of.

    Sources of one group may share `begun`, as when one takes another's place: see `GroupOffsets`.
    """

    def __init__(self, known: connecting.Connecting, begun: dict[TopicPartition, int] | None = None) -> None:
        self._connecting = known
        self._consumer: Any = None
        self._assigned_at = 0.0
        self._group: Any = None
        self._begun = {} if begun is None else begun

    async def start(self) -> None:
        """Connect, or connect anew; raises KafkaUnavailable or KafkaRefused."""
        connection = self._connecting.current()
        arguments = connection.source_arguments()
        consumer = aiokafka.AIOKafkaConsumer(**arguments)
        with _translated("connect"):
            try:
                await consumer.start()
            except BaseException as error:
                await _closed(consumer.stop)
                await _tell_why(error, arguments)
                raise
        former, former_group = self._consumer, self._group
        self._consumer = consumer
        self._group = group_offsets.GroupOffsets(
            consumer._client, connection.group_id, _bound(arguments), self._begun
        )
        await asyncio.shield(self._end(former, former_group))

    async def close(self) -> None:
        """Disconnect, within the same bound as a sink."""
        former, self._consumer = self._consumer, None
        await asyncio.shield(self._end(former, self._group))

    async def _end(self, consumer: Any, group: Any) -> None:
        """Whole even if whoever asks for it is cancelled: half-closed clients keep connections."""
        if consumer is not None:
            await _closed(group.close)
            await _closed(consumer.stop)
            await _closed(consumer._client.close)  # what a stop that was cut short leaves open

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Partition counts of the topics that exist."""
        with _translated("describe topics"):
            cluster = await self._consumer._client.fetch_all_metadata()
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        return {topic: count for topic, count in counts.items() if count}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """First and end offset of each partition."""
        wanted = [aiokafka.TopicPartition(*partition) for partition in partitions]
        if not wanted:
            return {}
        with _translated("list offsets"):
            first = await self._consumer.beginning_offsets(wanted)
            end = await self._consumer.end_offsets(wanted)
        return {TopicPartition(*partition): (first[partition], end[partition]) for partition in wanted}

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where the group stood before any worker committed."""
        with _translated("read committed offsets"):
            committed: Mapping[TopicPartition, int] = await self._group.committed(partitions)
        return committed

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets."""
        with _translated("assign"):
            self._consumer.assign([aiokafka.TopicPartition(*partition) for partition in positions])
            self._assigned_at = time.time()
            for partition, offset in positions.items():
                self._consumer.seek(aiokafka.TopicPartition(*partition), offset)

    async def poll(self, *, wait_seconds: float, most: int) -> Mapping[TopicPartition, Sequence[Record]]:
        """The next records."""
        with _translated("fetch"):
            batches = await self._consumer.getmany(timeout_ms=int(wait_seconds * 1000), max_records=most)
        # aiokafka's TopicPartition is a named tuple of the same fields: equal, and hashed alike.
        return cast(Mapping[TopicPartition, Sequence[Record]], batches)

    async def position(self, partition: TopicPartition) -> int:
        """The next offset."""
        with _translated("position"):
            position: int = await self._consumer.position(aiokafka.TopicPartition(*partition))
        return position

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The end as of the last fetch."""
        try:
            end: int | None = self._consumer.highwater(aiokafka.TopicPartition(*partition))
        except (errors.KafkaError, AssertionError):
            return None
        return end

    def silent_seconds(self) -> float:
        """Since a broker last answered a fetch; a fetch of nothing is answered twice a second."""
        partitions = self._consumer.assignment()
        answered = [self._consumer.last_poll_timestamp(partition) or 0 for partition in partitions]
        return max(0.0, time.time() - max([self._assigned_at, *(stamp / 1000 for stamp in answered)]))

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop fetching these."""
        self._consumer.pause(*(aiokafka.TopicPartition(*partition) for partition in partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these again."""
        self._consumer.resume(*(aiokafka.TopicPartition(*partition) for partition in partitions))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit to the group."""
        with _translated("commit"):
            await self._group.commit(offsets)


class KafkaSink:
    """A producer that sends one batch per partition at a time."""

    def __init__(self, known: connecting.Connecting) -> None:
        self._connecting = known
        self._seconds = _REQUEST_SECONDS
        self._producer: Any = None

    def _arguments(self) -> dict[str, Any]:
        return self._connecting.current().sink_arguments()

    async def start(self) -> None:
        """Connect; raises KafkaUnavailable or KafkaRefused."""
        arguments = self._arguments()
        self._seconds = _bound(arguments)
        producer = aiokafka.AIOKafkaProducer(**arguments)
        with _translated("connect"):
            try:
                async with asyncio.timeout(self._seconds):  # a transactional one waits for its coordinator
                    await producer.start()
            except BaseException as error:
                await _closed(producer.stop)
                await _tell_why(error, arguments)
                raise
        self._producer = producer

    async def close(self) -> None:
        """Disconnect within a bound: a broker that is gone must not hold a stop up."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await asyncio.shield(self._end(producer))

    async def _end(self, producer: Any) -> None:
        await _closed(producer.stop)
        await _closed(producer.client.close)

    def _connected(self) -> Any:
        if self._producer is None:
            raise ports.KafkaUnavailable("this producer is closed")
        return self._producer

    async def partitions(self, topic: str) -> int:
        """Partition count of a topic."""
        with _translated(f"describe topic {topic}"):
            return len(await self._producer.partitions_for(topic))

    async def send(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> int:
        """One batch, acknowledged."""
        # A missing permission can be granted while the outputs wait; a record too large stays too large.
        with _translated(f"send to {topic}/{partition}", refused=_TOO_LARGE):
            batch = self._connected().create_batch()
            append = batch.append
            taken = 0
            for _, key, value, headers, timestamp in messages:
                if append(key=key, value=value, timestamp=timestamp, headers=list(headers)) is None:
                    break
                taken += 1
            if not taken:
                raise ports.KafkaRefused(f"a record of {len(messages[0].value or b'')} bytes fits no batch")
            async with asyncio.timeout(self._seconds):
                acknowledged = await self._producer.send_batch(batch, topic, partition=partition)
                await acknowledged
        return taken


class TransactionalKafkaSink(KafkaSink):
    """A producer of a transactional id; its transactions begin with what is sent first."""

    def __init__(self, known: connecting.Connecting, transactional_id: str) -> None:
        super().__init__(known)
        self._id = transactional_id
        self._open = False
        self._beginning = asyncio.Lock()

    def _arguments(self) -> dict[str, Any]:
        return self._connecting.current().transaction_arguments(self._id)

    async def send(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> int:
        """One batch, acknowledged, in the transaction that is open."""
        async with self._beginning:
            if not self._open:
                with _translated("begin a transaction"):
                    await self._connected().begin_transaction()
                self._open = True
        return await super().send(topic, partition, messages)

    async def commit(self) -> None:
        """End the transaction; one in which nothing was sent costs nothing."""
        if self._open:
            with _translated("commit a transaction"):
                async with asyncio.timeout(self._seconds):
                    await self._connected().commit_transaction()
            self._open = False

    async def _end(self, producer: Any) -> None:
        if self._open:  # readers of what is committed wait behind what is open
            await _closed(producer.abort_transaction)
        await super()._end(producer)


class KafkaTopics:
    """Creates topics by an admin client that lives as long as one call."""

    def __init__(self, known: connecting.Connecting) -> None:
        self._connecting = known

    async def ensure(self, topic: str, *, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic unless it exists, with up to three replicas.

        Where no broker creates topics by request the topic is only asked for, so that the broker's own
        partition count and configuration hold.
        """
        async with self._admin() as admin:
            described = await admin.describe_cluster()
            brokers = [broker["node_id"] for broker in described["brokers"]]
            if described["controller_id"] not in brokers and not await self._can_create(admin):
                await self._ask_for(admin, topic)
                return
            replicas = min(3, len(brokers))
            wanted = NewTopic(topic, partitions, replicas, topic_configs=dict(config))
            response = await admin.create_topics([wanted])
            for _, code, *rest in response.topic_errors:
                error = errors.for_code(code)
                if error not in (errors.NoError, errors.TopicAlreadyExistsError):
                    raise error(f"create topic {topic}: {rest[0] if rest else ''}")

    async def _can_create(self, admin: Any) -> bool:
        """Whether a cluster that names no controller knows the request; the embedded broker does not."""
        nothing = CreateTopicsRequest(create_topic_requests=[], timeout=1000, validate_only=True)
        try:
            await admin._send_request(nothing)
        except errors.IncompatibleBrokerVersion:
            return False
        raise errors.NotControllerError("the cluster has no controller now")

    async def _ask_for(self, admin: Any, topic: str) -> None:
        """Name the topic in a metadata request, which creates it where topics come into being by use."""
        for described in await admin.describe_topics([topic]):
            if described["error_code"]:
                raise errors.for_code(described["error_code"])(f"topic {topic} is not there: create it")

    @contextlib.asynccontextmanager
    async def _admin(self) -> AsyncIterator[Any]:
        arguments = self._connecting.current().admin_arguments()
        admin = AIOKafkaAdminClient(**arguments)
        with _translated("create topics"):
            try:
                await admin.start()
                yield admin
            except errors.KafkaConnectionError as error:
                await _tell_why(error, arguments)
                raise
            finally:
                await admin.close()
