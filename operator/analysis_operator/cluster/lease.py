"""Leader election by a Lease: one operator acts, the others are warm and wait.

Times as in client-go (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection): a holder renews every 2 s
and stops acting after 10 s without success; others, who look every second, take over 15 s after they last saw
it renew, by their own clock. A holder that leaves gives the Lease back: the next one waits for nothing.
"""

import asyncio
import contextlib
import datetime
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from analysis_operator.cluster import resources
from analysis_operator.cluster.api import Api, ApiError

log = logging.getLogger(__name__)

DURATION_SECONDS = 15
RENEW_WITHIN_SECONDS = 10.0
RENEW_EVERY_SECONDS = 2.0
LOOK_EVERY_SECONDS = 1.0
_ATTEMPT_SECONDS = 4.0
"""A try that hangs on a dead connection ends in time for another one before the Lease is lost."""
_RELEASE_SECONDS = 2.0


class LeaseLost(RuntimeError):
    """The Lease could not be renewed in time, or somebody else has it: whoever held it must stop acting."""


class Lease:
    """One operator's share in the Lease `namespace/name`; `identity` is unique to its process.

    `clock` gives seconds that only grow, also while the process is frozen.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity
        self._clock = clock
        self.held = False
        self._api = api
        self._namespace = namespace
        self._name = name
        self._renewed_at = 0.0
        self._seen: Any = None
        self._seen_at = 0.0

    async def acquire(self) -> None:
        """Wait until this operator holds the Lease."""
        while True:
            try:
                async with asyncio.timeout(_ATTEMPT_SECONDS):
                    if await self._try():
                        log.info("this operator leads (%s)", self.identity)
                        return
            except (ApiError, TimeoutError) as error:
                wrong = str(error) or "no answer"
                log.warning("the Lease %s/%s is not to be had yet: %s", self._namespace, self._name, wrong)
            await asyncio.sleep(LOOK_EVERY_SECONDS * random.uniform(0.5, 1.0))

    def seconds_left(self) -> float:
        """How long this operator may act from now on; none for a process that was frozen and wakes up."""
        if not self.held:
            return 0.0
        return max(0.0, RENEW_WITHIN_SECONDS - (self._clock() - self._renewed_at))

    def is_valid(self) -> bool:
        """Whether this operator may act now."""
        return self.seconds_left() > 0

    async def keep(self) -> None:
        """Renew until cancelled; raises LeaseLost."""
        pause = RENEW_EVERY_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(min(_ATTEMPT_SECONDS, self.seconds_left())):
                    if not await self._try():
                        raise LeaseLost("another operator holds the Lease")
                pause = RENEW_EVERY_SECONDS
            except (ApiError, TimeoutError) as error:
                pause = LOOK_EVERY_SECONDS
                log.warning("the Lease is not renewed, %.1f s are left", self.seconds_left())
                if not self.is_valid():
                    wrong = f"the Lease was not renewed for {RENEW_WITHIN_SECONDS:g} s"
                    raise LeaseLost(f"{wrong}: {str(error) or 'no answer'}") from error

    async def release(self) -> None:
        """Give the Lease back if it is held; errors do not matter any more."""
        if not self.held:
            return
        self.held = False
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                while not await self._given_back():
                    pass  # our own last renewal has come between

    async def _given_back(self) -> bool:
        lease = await self._api.get(resources.LEASE, self._namespace, self._name)
        if lease is None or lease["spec"].get("holderIdentity") != self.identity:
            return True
        try:
            await self._api.update(resources.LEASE, self._with(lease, holder="", seconds=1))
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    async def _try(self) -> bool:
        """Take or renew the Lease if that is due; whether this operator holds it now."""
        asked_at = self._clock()
        self.held = await self._taken()
        if self.held:
            self._renewed_at = asked_at
        return self.held

    async def _taken(self) -> bool:
        lease = await self._api.get(resources.LEASE, self._namespace, self._name)
        try:
            if lease is None:
                await self._api.create(resources.LEASE, self._namespace, self._fresh())
            elif not self._is_free(lease):
                return False
            else:
                await self._api.update(resources.LEASE, self._with(lease, self.identity, DURATION_SECONDS))
        except ApiError as error:
            if error.status == 409 and not self.held:  # somebody else was quicker
                return False
            raise
        return True

    def _is_free(self, lease: Mapping[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        if not holder or holder == self.identity:
            return True
        if (holder, spec.get("renewTime")) != self._seen:
            self._seen, self._seen_at = (holder, spec.get("renewTime")), self._clock()
        return self._clock() - self._seen_at > float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)

    def _fresh(self) -> dict[str, Any]:
        metadata = {"namespace": self._namespace, "name": self._name}
        document = {"apiVersion": resources.LEASE.api_version, "kind": "Lease", "metadata": metadata}
        return self._with(document, self.identity, DURATION_SECONDS)

    def _with(self, lease: Mapping[str, Any], holder: str, seconds: int) -> dict[str, Any]:
        before = lease.get("spec") or {}
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changed = before.get("holderIdentity") != holder
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds,
            "renewTime": now,
            "acquireTime": now if changed else before.get("acquireTime", now),
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (changed and bool(holder)),
        }
        return {**lease, "spec": spec}
