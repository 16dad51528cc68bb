"""One pass over one module: observe, plan, apply, report. The only file that knows all four."""

import logging
import time
from collections.abc import Callable, Iterable

from analysis_operator.cluster.api import ApiError
from analysis_operator.cluster.recorder import Recorder
from analysis_operator.cluster.store import Store
from analysis_operator.decisions import events, planning
from analysis_operator.decisions.observed import Key, Module
from analysis_operator.decisions.options import Options
from analysis_operator.metrics import OperatorMetrics
from analysis_operator.reconciling.applying import Applier, NameTaken
from analysis_operator.reconciling.neighbourhood import Neighbourhood
from analysis_operator.reconciling.observing import Observer
from analysis_operator.reconciling.reporting import Reporter

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.05


class NotLeading(RuntimeError):
    """This operator may not act (any more): another one leads, or may by now."""


class Reconciler:
    """Brings modules to what their specs say; `may_act` is asked before every write."""

    def __init__(
        self,
        store: Store,
        observer: Observer,
        applier: Applier,
        reporter: Reporter,
        recorder: Recorder,
        neighbourhood: Neighbourhood,
        options: Options,
        metrics: OperatorMetrics,
        may_act: Callable[[], bool],
    ) -> None:
        self._store = store
        self._observer = observer
        self._applier = applier
        self._reporter = reporter
        self._recorder = recorder
        self._neighbourhood = neighbourhood
        self._options = options
        self._metrics = metrics
        self._may_act = may_act
        self._told_leaving: set[str] = set()

    async def reconcile(self, key: Key) -> float | None:
        """One pass; the seconds until the next one is due by itself, None if nothing is left to do.

        Raises ApiError, NameTaken or NotLeading.
        """
        module = self._store.module(key)
        if module is None:
            self._forget(key)
            return None
        if module.deleting:
            await self._tell_of_leaving(module)
            return None
        if module.paused:
            return None
        observed = await self._observer.observe(module)
        plan = planning.plan(observed, self._options, time.time())
        self._check()
        self._metrics.planned(key, plan)
        try:
            await self._applier.carry_out(module, plan)
        except (ApiError, NameTaken) as error:
            await self._tell_of_failure(module, error)
            raise
        await self._post(module, plan.events)
        self._check()
        await self._reporter.report(module, plan.status)
        self._metrics.reported(key, plan)
        # What was applied changes what is to be seen: look at that without waiting for the watch.
        return _AGAIN_SECONDS if plan.apply or plan.delete else plan.look_again_seconds

    def _check(self) -> None:
        if not self._may_act():
            raise NotLeading

    def _forget(self, key: Key) -> None:
        self._observer.forget(key)
        self._reporter.forget(key)
        self._metrics.forget(key)

    async def _post(self, module: Module, happened: Iterable[events.Event]) -> None:
        for event in happened:
            await self._recorder.post(module, event)

    async def _tell_of_failure(self, module: Module, error: Exception) -> None:
        if isinstance(error, NameTaken) or (isinstance(error, ApiError) and 400 <= error.status < 500):
            await self._recorder.post(module, events.Event("Warning", "Failed", str(error)))

    async def _tell_of_leaving(self, module: Module) -> None:
        """Warn once of a module that is being deleted while others join its outputs."""
        dependants = self._neighbourhood.of(module.key).dependants
        if dependants and module.uid not in self._told_leaving:
            self._told_leaving.add(module.uid)
            message = f"{', '.join(dependants)} join its outputs and get no new ones"
            await self._recorder.post(module, events.Event("Warning", "DependantsLeft", message))
