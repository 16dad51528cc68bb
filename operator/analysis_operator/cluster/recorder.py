"""Posts Events on modules, so that `kubectl describe` tells what happened and why."""

import datetime
import logging
import uuid

from analysis_module import names
from analysis_operator.cluster import resources
from analysis_operator.cluster.api import Api, ApiError
from analysis_operator.decisions.events import Event
from analysis_operator.decisions.observed import Key, Module

log = logging.getLogger(__name__)

_LONGEST = 1024
_MOST_REMEMBERED = 4096


class Recorder:
    """Posts each event once: one that says the same of the same generation is not posted again."""

    def __init__(self, api: Api, instance: str) -> None:
        self._api = api
        self._instance = instance
        self._last: dict[tuple[Key, str], tuple[int, str]] = {}

    async def post(self, module: Module, event: Event) -> None:
        """Post an event; a failure to do so is logged and else of no consequence."""
        said = (module.generation, event.message)
        if self._last.get((module.key, event.reason)) == said:
            return
        if len(self._last) >= _MOST_REMEMBERED:
            self._last.clear()
        self._last[module.key, event.reason] = said
        log.log(
            logging.WARNING if event.kind == "Warning" else logging.INFO,
            "%s: %s: %s",
            module.key,
            event.reason,
            event.message,
        )
        try:
            await self._api.create(resources.EVENT, module.key.namespace, self._document(module, event))
        except ApiError as error:
            log.warning("%s: an event could not be posted: %s", module.key, error)

    def _document(self, module: Module, event: Event) -> dict[str, object]:
        now = datetime.datetime.now(datetime.UTC)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "namespace": module.key.namespace,
                "name": f"{module.key.name}.{uuid.uuid4().hex[:16]}",
            },
            "involvedObject": {
                "apiVersion": names.API_GROUP_VERSION,
                "kind": names.KIND,
                "namespace": module.key.namespace,
                "name": module.key.name,
                "uid": module.uid,
            },
            "type": event.kind,
            "reason": event.reason,
            "message": event.message[:_LONGEST],
            "source": {"component": names.OPERATOR_NAME},
            "reportingComponent": f"{names.API_GROUP}/{names.OPERATOR_NAME}",
            "reportingInstance": self._instance,
            "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventTime": None,
            "count": 1,
        }
