"""`analysis-worker run`: one worker, from an Assignment's file or a manifest, until told to stop."""

import argparse
import asyncio
import contextlib
import ctypes
import dataclasses
import gc
import logging
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry

from analysis_module import assignment as assignments
from analysis_module import errors, names, spec
from analysis_worker import VERSION, delivery, reaching, service
from analysis_worker.assignments import watching
from analysis_worker.callbacks.loading import CallbackError
from analysis_worker.commands import documents
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import clients, connecting, credentials, ports
from analysis_worker.observability import http, logs, systemd
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.settings import Settings

log = logging.getLogger("analysis_worker.run")

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 64 * 1024

EXAMPLES = """examples:
  analysis-worker run -f module.yaml                      the whole module in one worker
  analysis-worker run -f module.yaml --shard 0 --shards 3 one worker of three, without an operator
  analysis-worker run --assignment /etc/analysis/assignment/assignment.json

exit codes: 0 stopped when told to; 1 the worker could not go on; 2 the manifest, the Assignment or a
setting is wrong; 3 Kafka was not reached
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        help="run one worker",
        description="Run one worker until SIGTERM or SIGINT; hot changes of its file are applied.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-f", "--file", type=pathlib.Path, help="an AnalysisModule manifest, YAML or JSON")
    source.add_argument("--assignment", type=pathlib.Path, help="an Assignment's file")
    parser.add_argument("--shard", type=int, default=0, help="which shard this worker is (default 0)")
    parser.add_argument("--shards", type=int, default=1, help="how many shards there are (default 1)")
    parser.add_argument("--host", default="0.0.0.0", help="address of the HTTP server (default %(default)s)")
    parser.add_argument("--port", type=int, default=names.HTTP_PORT, help="its port (default %(default)s)")
    parser.add_argument("--commit-interval", type=float, default=1.0, metavar="SECONDS", help="default 1")
    parser.add_argument(
        "--state-directory",
        type=pathlib.Path,
        metavar="PATH",
        help="where windows are kept in files (default: nowhere; restarts then rewind the topics)",
    )
    parser.add_argument(
        "--checkpoint-interval",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="from one checkpoint of the windows in files to the next (default %(default)s)",
    )
    parser.set_defaults(run=run)


def give_buffers_back() -> None:
    """Have glibc take large buffers, as fetches are, from the kernel and give each back: see mallopt(3).

    Else they come to lie on the heap between what stays, and leave holes there.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop; the exit code."""
    # A worker makes many short-lived objects and few cycles: look for cycles seldom.
    gc.set_threshold(50_000, 20, 100)
    give_buffers_back()
    try:
        return asyncio.run(_run(arguments))
    except errors.InvalidSpec as error:
        print(error, file=sys.stderr)
        return 2
    except (CallbackError, connecting.KafkaSettingsError, http.CannotListen, logs.LogError, OSError) as error:
        if isinstance(error, reaching.KafkaUnreachable):
            print(error, file=sys.stderr)
            return 3
        print(error, file=sys.stderr)
        return 2
    except ports.KafkaRefused as error:
        print(f"Kafka refused: {error}; check kafka.security and the permissions", file=sys.stderr)
        return 3


async def _run(arguments: argparse.Namespace) -> int:
    path = arguments.assignment or arguments.file
    content = documents.read_bytes(path)
    assignment = _assignment(arguments, content)
    observability = assignment.module_spec.observability
    told = logs.Chosen(None, observability.log_level, observability.log_format.value)
    logs.configure(*logs.from_environment(os.environ, told))
    logs.identify(module=assignment.module_spec.module, shard=assignment.shard)
    secrets = credentials.Credentials(
        assignment.module_spec.kafka, assignment.module_spec.kafka.group_id or assignment.module_spec.module
    )
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry, module=assignment.module_spec.module, owner=assignment.owner)
    worker = service.Worker(
        assignment,
        dataclasses.replace(connector_of(secrets), secrets=secrets),
        metrics=metrics,
        settings=settings_of(arguments, assignment.module_spec, secrets.taken.connection.max_poll_records),
    )
    metrics.watch(worker.report)
    server = http.StatusServer(
        worker.report, registry, host=arguments.host, port=arguments.port, version=VERSION
    )
    async with _listening(server):
        with systemd.Notifier(lambda: [worker.report]) as notifier:
            return await _until_told(worker, arguments, path, content, notifier)


def settings_of(arguments: argparse.Namespace, asked: spec.ModuleSpec, most_per_poll: int) -> Settings:
    """What is set for this process; a module that keeps no windows in files has no directory for them."""
    return Settings(
        commit_interval_seconds=arguments.commit_interval,
        most_per_poll=most_per_poll,
        checkpoint_interval_seconds=arguments.checkpoint_interval,
        state_directory=arguments.state_directory if asked.state.enabled else None,
    )


def connector_of(known: connecting.Connecting) -> delivery.Connector:
    """Real clients, which ask how to connect each time that they do."""
    begun: dict[TopicPartition, int] = {}
    return delivery.Connector(
        source=lambda: clients.KafkaSource(known, begun),
        sink=lambda: clients.KafkaSink(known),
        topics=lambda: clients.KafkaTopics(known),
        transactional_sink=lambda transactional_id: clients.TransactionalKafkaSink(known, transactional_id),
    )


def _assignment(arguments: argparse.Namespace, content: bytes) -> assignments.Assignment:
    if arguments.assignment is not None:
        return assignments.Assignment.from_json(content)
    module_spec = documents.module_spec_of(content, str(arguments.file))
    return assignments.for_shard(module_spec, arguments.shard, arguments.shards)


@contextlib.asynccontextmanager
async def _listening(server: http.StatusServer) -> AsyncIterator[None]:
    server.start()
    log.info("listening on port %s: %s", server.port, "/metrics /livez /readyz /health /status")
    try:
        yield
    finally:
        server.stop()


async def _until_told(
    worker: service.Worker,
    arguments: argparse.Namespace,
    path: pathlib.Path,
    content: bytes,
    notifier: systemd.Notifier,
) -> int:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    starting = asyncio.create_task(worker.start())
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
    try:
        await asyncio.gather(starting, return_exceptions=told.is_set())
        if not told.is_set():
            notifier.ready()
        watching_file = asyncio.create_task(_watch(worker, arguments, path, content))
        ended = asyncio.create_task(worker.stopped.wait())
        await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
        watching_file.cancel()
        ended.cancel()
    finally:
        waiting.cancel()
        notifier.stopping()
        await worker.stop()
    return 1 if worker.failure is not None else 0


async def _watch(
    worker: service.Worker, arguments: argparse.Namespace, path: pathlib.Path, content: bytes
) -> None:
    async for changed in watching.versions(path, known=content):
        try:
            assignment = _assignment(arguments, changed)
        except errors.InvalidSpec as error:
            worker.refuse(error)
            continue
        with contextlib.suppress(ValueError):  # refused: the worker has said why
            await worker.apply(assignment)
            log.info("Assignment applied: config %s, epoch %s", assignment.config_hash, assignment.epoch)
