"""What AtLeastOnce and ExactlyOnce differ in: the producers, how progress is written and slots taken over."""

import dataclasses
import uuid
from collections.abc import Callable

from analysis_module import assignment as assignments
from analysis_module import spec, wiring
from analysis_worker import claiming, progress_writing
from analysis_worker.kafka import credentials, outbox, ports, transactions
from analysis_worker.observability.metrics import WorkerMetrics


@dataclasses.dataclass(frozen=True)
class Connector:
    """Makes the Kafka ports: real clients, or fakes. They connect by `secrets`, if these can change.

    `transactional_sink` is given the transactional id.
    """

    source: Callable[[], ports.Source]
    sink: Callable[[], ports.Sink]
    topics: Callable[[], ports.Topics]
    transactional_sink: Callable[[str], ports.TransactionalSink]
    secrets: credentials.Credentials | None = None


@dataclasses.dataclass(frozen=True)
class Delivery:
    """The parts of one worker process that its module's `delivery` chooses; `ledger` if it is ExactlyOnce."""

    make_sink: Callable[[], ports.Sink]
    claims: claiming.Claims
    process: str
    progress_topic: str
    ledger: transactions.Ledger | None = None

    def writer(self, box: outbox.Outbox) -> progress_writing.ProgressWriter:
        """Who writes the progress that goes with the outputs of `box`."""
        if self.ledger is None:
            return progress_writing.Acknowledged(box, self.progress_topic)
        return progress_writing.InTransactions(box, self.ledger)

    def claimant(self, assignment: assignments.Assignment) -> claiming.Claimant:
        """As whom the process takes slots over."""
        return claiming.Claimant(assignment.owner, assignment.epoch, self.process)


def delivery_of(
    chosen: spec.Delivery,
    wired: wiring.Wiring,
    owner: str,
    connector: Connector,
    reached: claiming.Reached,
    metrics: WorkerMetrics,
) -> Delivery:
    """What a module asks for."""
    process, topic = uuid.uuid4().hex, wired.progress_topic
    if chosen is spec.Delivery.AT_LEAST_ONCE:
        claims = claiming.Claims(topic, connector.source, reached)
        return Delivery(connector.sink, claims, process, topic)
    transactional = claiming.Transactional(wired.group_id, connector.transactional_sink)
    claims = claiming.Claims(topic, connector.source, reached, transactional)
    ledger = transactions.Ledger(
        process,
        topic,
        lambda: transactional.sink_of(owner),
        claims.newest,
        metrics.transaction_ended,
    )
    return Delivery(ledger.sink, claims, process, topic, ledger)
