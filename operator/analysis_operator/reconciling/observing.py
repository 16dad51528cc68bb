"""Observe: all that is known of one module, from the store, its workers, Kafka and its neighbours."""

import asyncio
from collections.abc import Callable

from analysis_module.names import ConditionType
from analysis_operator.cluster import callback_files
from analysis_operator.cluster.api import Api
from analysis_operator.cluster.kafka_lookout import KafkaLookout
from analysis_operator.cluster.store import Store
from analysis_operator.cluster.workers import Workers
from analysis_operator.decisions.observed import KafkaView, Key, Module, Observed, Report
from analysis_operator.decisions.options import Options
from analysis_operator.reconciling.neighbourhood import Neighbourhood

_WELL_SECONDS, _UNWELL_SECONDS = 30.0, 5.0
"""How old what is known of Kafka may be, while all is well and while something is amiss."""


class Observer:
    """Gathers what decisions are made from; `wake` is told whose Kafka has been looked at anew."""

    def __init__(
        self,
        api: Api,
        store: Store,
        workers: Workers,
        lookout: KafkaLookout,
        neighbourhood: Neighbourhood,
        options: Options,
        wake: Callable[[Key], None],
    ) -> None:
        self._api = api
        self._store = store
        self._workers = workers
        self._lookout = lookout
        self._neighbourhood = neighbourhood
        self._options = options
        self._wake = wake
        self._reports: dict[Key, dict[str, Report]] = {}

    async def observe(self, module: Module) -> Observed:
        """Look at one module; raises ApiError if its callback's ConfigMap cannot be read."""
        pods = self._store.pods(module.key)
        reports = await self._workers.reports(pods, self._reports.get(module.key, {}))
        if pods:
            self._reports[module.key] = reports
        else:
            self._reports.pop(module.key, None)
        return Observed(
            module=module,
            children=self._store.children(module.key, module.uid),
            pods=pods,
            reports=reports,
            kafka=self._kafka(module),
            callback=await callback_files.read(self._api, module, self._options),
            neighbours=self._neighbourhood.of(module.key),
        )

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a module that is gone."""
        self._reports.pop(key, None)

    def _kafka(self, module: Module) -> KafkaView:
        asked = self._neighbourhood.asked(module.key)
        if asked is None:
            return KafkaView()
        well = module.last_told.is_true(ConditionType.KAFKA_REACHABLE)
        seconds = _WELL_SECONDS if well else _UNWELL_SECONDS
        view, look = self._lookout.known(asked.kafka, fresh_seconds=seconds)
        if look is not None:
            before = view

            def looked(done: asyncio.Task[KafkaView]) -> None:
                if not done.cancelled() and done.exception() is None and done.result() != before:
                    self._wake(module.key)

            look.add_done_callback(looked)
        return view
