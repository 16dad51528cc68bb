"""Asks workers for what they say of themselves, at `/status` of their pods."""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from analysis_module import names
from analysis_operator.decisions.observed import Pod, Report

log = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=2.0, connect=1.0)
_MOST_BYTES = 4 * 2**20
_MOST_AT_A_TIME = 32


class Workers:
    """Reads status pages over kept connections; close it when done."""

    def __init__(self, port: int = names.HTTP_PORT) -> None:
        self._port = port
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(_MOST_AT_A_TIME)

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()

    async def reports(self, pods: Iterable[Pod], last: Mapping[str, Report]) -> dict[str, Report]:
        """What each running pod's worker says, by the pod's name; one that does not answer is left out.

        `last` are the reports before these, by which rates are told.
        """
        asked = [pod for pod in pods if pod.ip is not None and pod.alive]
        answers = await asyncio.gather(*(self._report(pod, last.get(pod.name)) for pod in asked))
        return {pod.name: answer for pod, answer in zip(asked, answers, strict=True) if answer is not None}

    async def _report(self, pod: Pod, last: Report | None) -> Report | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=_TIMEOUT, connector=aiohttp.TCPConnector(limit=2 * _MOST_AT_A_TIME)
            )
        host = f"[{pod.ip}]" if pod.ip and ":" in pod.ip else pod.ip
        url = f"http://{host}:{self._port}{names.STATUS_PATH}"
        try:
            async with self._places, self._session.get(url, allow_redirects=False) as response:
                return _understood(await _content(response), pod.uid, last)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.debug("pod %s does not answer: %s", pod.name, error)
            return None


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """The whole page, in however many pieces it comes; raises ValueError for one that is too large."""
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > _MOST_BYTES:
            raise ValueError(f"a status page of more than {_MOST_BYTES} bytes")
    return bytes(content)


def _understood(content: bytes, pod_uid: str, last: Report | None) -> Report:
    """Read what a pod sent, be it what it may; raises ValueError for what is no status page."""
    try:
        return report_of(json.loads(content), pod_uid, last)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"no status page: {type(error).__name__}: {error}") from error


def report_of(document: Mapping[str, Any], pod_uid: str, last: Report | None = None) -> Report:
    """Read a status page; for what is none raises what its first wrong value leads to."""
    worker, config = document["worker"], document["config"]
    partitions = document.get("partitions") or ()
    lags = {
        (str(part["topic"]), int(part["partition"])): int(part["lag_records"])
        for part in partitions
        if part.get("lag_records") is not None
    }
    seconds = [part["lag_seconds"] for part in partitions if part.get("lag_seconds") is not None]
    position = sum(int(part["position"]) for part in partitions)
    taken_at = float(worker["taken_at"])
    followed = worker.get("followed_slots")
    return Report(
        pod_uid=pod_uid,
        taken_at=taken_at,
        owner=str(worker["owner"]),
        epoch=int(config["epoch"]),
        applied_hash=config.get("applied_hash"),
        desired_hash=config.get("desired_hash"),
        refused=tuple(str(text)[:300] for text in (config.get("refused") or ())[:10]),
        state=str(worker["state"])[:40],
        slots=frozenset(map(int, worker["slots"])),
        letting_go=frozenset(map(int, worker.get("releasing_slots") or ())),
        followed=None if followed is None else frozenset(map(int, followed)),
        restored=max(0.0, min(1.0, float(worker.get("restore_progress", 1.0)))),
        stations=int(worker.get("station_count") or 0),
        lags=lags,
        lag_seconds=max(map(float, seconds)) if seconds else None,
        position=position,
        rate=_rate(position, taken_at, last),
        connected=bool(worker.get("consumer_connected")),
        missing_topics=tuple(map(str, worker.get("missing_topics") or ()))[:100],
        misaligned_topics=tuple(map(str, worker.get("misaligned_topics") or ()))[:100],
        wrong_partition=int(worker.get("wrong_partition") or 0),
        explain=str(worker.get("explain", ""))[:300],
    )


def _rate(position: int, taken_at: float, last: Report | None) -> float | None:
    """Records read per second since the last report; None while there is nothing to compare with."""
    if last is None or taken_at - last.taken_at < 0.5 or position < last.position:
        return last.rate if last is not None else None
    return (position - last.position) / (taken_at - last.taken_at)
