"""kopf as the watch layer, and nothing else: every event of every watch goes to one function.

No handler here changes anything, so kopf needs no finalizer, no annotation and no status of its own. Why each
setting is as it is: docs/decisions/0009-kopf-watches-only.md.
"""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from analysis_operator.cluster import resources
from analysis_operator.cluster.resources import Resource

Seen = Callable[[Resource, str | None, Mapping[str, Any]], None]
"""Told of each event: the resource, ADDED, MODIFIED, DELETED or None (it was there), and the object."""

_MOST_WORKERS = 200
_RETRY_PAUSES = (1, 1, 2, 3, *[5] * 10)
"""Seconds between a watch's tries to connect: none so long that a server that is back stays unnoticed."""


def registry(seen: Seen, login: Callable[[], Any]) -> kopf.OperatorRegistry:
    """The handlers: one for each watched resource, and the login (an async function to a ConnectionInfo)."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made, retries=3)
    async def log_in(**_: Any) -> Any:
        return await login()

    for resource in resources.WATCHED:
        _watch(made, resource, seen)
    return made


def _watch(made: kopf.OperatorRegistry, resource: Resource, seen: Seen) -> None:
    @kopf.on.event(
        resource.group, resource.version, resource.plural, registry=made, id=f"wake-{resource.plural}"
    )
    async def wake(event: Mapping[str, Any], **_: Any) -> None:
        seen(resource, event["type"], event["object"])


def settings() -> kopf.OperatorSettings:
    """How kopf watches: only what is ours, reconnecting in time, posting and persisting nothing."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.posting.enabled = False
    made.scanning.disabled = True
    made.queueing.worker_limit = _MOST_WORKERS
    made.queueing.idle_timeout = 0.1  # a worker that lingers (kopf: 5 s) keeps the next object waiting
    made.networking.request_timeout = 30
    made.networking.error_backoffs = _RETRY_PAUSES
    made.watching.server_timeout = 300
    made.watching.client_timeout = 310
    made.watching.connect_timeout = 30
    made.watching.inactivity_timeout = 70  # a bookmark comes every 60 s
    made.watching.chunk_size = 500
    for resource in resources.WATCHED:
        if resource.selector:
            place = resource.group, resource.version, resource.plural
            made.watching.label_selectors[place] = resource.selector
    return made
