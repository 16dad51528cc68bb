"""The Grafana dashboards as data.

Edit the panels here and run `python -m helm.generate`. What series look like (their labels, the jobs) is said
by the chart's monitors: a module's series from the operator have `namespace` and `name`, those from a worker
`namespace`, `module`, `shard` and `pod`.
"""

from collections.abc import Mapping, Sequence

from helm import grafana

_RATE = "[$__rate_interval]"


def _stat(
    title: str, description: str, queries: Sequence[tuple[str, str]], unit: str = "none"
) -> grafana.Panel:
    return grafana.Panel(
        title=title, description=description, unit=unit, queries=queries, kind="stat", width=8, height=4
    )


def _quantile(share: float, metric: str, labels: str, by: str = "") -> str:
    return f"histogram_quantile({share}, sum by ({by}le) (rate({metric}_bucket{labels}{_RATE})))"


def _not_kept(labels: str) -> str:
    """Failures within the interval; what a new pod fails at before it is first scraped among them."""
    counted = f"data_analysis_state_failures_total{labels}"
    return f"(({counted} unless {counted} offset $__rate_interval) or increase({counted}{_RATE}))"


_NAMESPACES = ("namespace", "label_values(analysis_operator_module_stations, namespace)")
_MODULES = ("module", 'label_values(analysis_operator_module_stations{namespace="$namespace"}, name)')
_HERE = '{namespace=~"$namespace"}'
_TOLD = '{namespace="$namespace",name="$module"}'
_OF = '{namespace="$namespace",module="$module"}'
_OPERATOR = '{job="analysis-operator"}'


_PROCESSED = f"sum by (namespace, module) (rate(data_analysis_processed_total{_HERE}{_RATE}))"
# A module without any error has no series of errors.
_FAILED = f"(sum by (namespace, module) (rate(data_analysis_errors_total{_HERE}{_RATE})) or 0 * {_PROCESSED})"
_MISSED = "analysis_operator_watch_missed_total"
# A series begins with its first count, which increase() does not see; without any count there is none.
_MISSED_TODAY = f"sum(increase({_MISSED}[1d]) > 0 or ({_MISSED} unless {_MISSED} offset 1d)) or vector(0)"

FLEET = grafana.Dashboard(
    uid="analysis-fleet",
    title="Analysis: fleet",
    description="All modules side by side: which of them need a look?",
    variables=[_NAMESPACES],
    several=True,
    panels=[
        _stat(
            "Modules by phase",
            "How many modules are in each phase.",
            [("sum by (phase) (analysis_operator_modules) > 0", "{{phase}}")],
        ),
        _stat(
            "Workers",
            "Workers that are ready, and workers that the modules want.",
            [
                (f"sum(analysis_operator_module_workers_ready{_HERE})", "ready"),
                (f"sum(analysis_operator_module_workers_wanted{_HERE})", "wanted"),
            ],
        ),
        _stat(
            "Stations",
            "Stations that the modules run for; one counts for each of its modules.",
            [(f"sum(analysis_operator_module_stations{_HERE})", "stations")],
        ),
        grafana.Panel(
            title="Records read",
            description="Records per second that the workers of a module fetch.",
            unit="cps",
            queries=[
                (
                    f"sum by (namespace, module) (rate(data_analysis_consumed_records_total{_HERE}{_RATE}))",
                    "{{namespace}}/{{module}}",
                )
            ],
        ),
        grafana.Panel(
            title="Behind",
            description="Age of the oldest unread record of each module.",
            unit="s",
            queries=[(f"analysis_operator_module_lag_seconds{_HERE}", "{{namespace}}/{{name}}")],
        ),
        grafana.Panel(
            title="Failing",
            description="Share of records and callbacks of each module that fail.",
            unit="percentunit",
            queries=[(f"{_FAILED} / ({_FAILED} + {_PROCESSED})", "{{namespace}}/{{module}}")],
        ),
        grafana.Panel(
            title="Callback time, 95 %",
            description="What 95 of 100 callbacks of a module stay under.",
            unit="s",
            queries=[
                (
                    _quantile(0.95, "data_analysis_processing_seconds", _HERE, "namespace, module, "),
                    "{{namespace}}/{{module}}",
                )
            ],
        ),
        grafana.Panel(
            title="A restart reads again",
            description="Age of the oldest checkpoint of each module's windows in files.",
            unit="s",
            queries=[
                (
                    f"max by (namespace, module) (data_analysis_checkpoint_age_seconds{_HERE})",
                    "{{namespace}}/{{module}}",
                )
            ],
        ),
        grafana.Panel(
            title="Windows not kept",
            description="Failures to keep windows in files or snapshots, or to take them.",
            unit="short",
            queries=[
                (f"sum by (namespace, module) {_not_kept(_HERE)}", "{{namespace}}/{{module}}"),
            ],
        ),
        grafana.Panel(
            title="What is amiss",
            description="Conditions that are not as they should be, with their reason; 0 is False, 1 True.",
            unit="none",
            kind="table",
            width=24,
            queries=[
                (
                    "max by (namespace, name, type, reason) ("
                    'analysis_operator_module_condition{namespace=~"$namespace",'
                    'type=~"Accepted|DependenciesReady|KafkaReachable|ConfigApplied|Ready"} == 0 or '
                    'analysis_operator_module_condition{namespace=~"$namespace",type="Degraded"} == 1)',
                    "",
                )
            ],
        ),
    ],
)

MODULE = grafana.Dashboard(
    uid="analysis-module",
    title="Analysis: module",
    description="One module: what comes in, what becomes of it, and how its workers fare.",
    variables=[_NAMESPACES, _MODULES],
    panels=[
        _stat(
            "Workers",
            "Workers that are ready, and those that the module wants.",
            [
                (f"analysis_operator_module_workers_ready{_TOLD}", "ready"),
                (f"analysis_operator_module_workers_wanted{_TOLD}", "wanted"),
            ],
        ),
        _stat(
            "Behind",
            "Age of the oldest unread record.",
            [(f"analysis_operator_module_lag_seconds{_TOLD}", "behind")],
            unit="s",
        ),
        _stat(
            "Without the newest config",
            "Workers that do not run the newest configuration yet.",
            [(f"analysis_operator_module_config_lagging{_TOLD}", "workers")],
        ),
        grafana.Panel(
            title="Records and outputs",
            description="Records read, callbacks that succeeded and outputs acknowledged, per second.",
            unit="cps",
            queries=[
                (f"sum(rate(data_analysis_consumed_records_total{_OF}{_RATE}))", "read"),
                (f"sum(rate(data_analysis_processed_total{_OF}{_RATE}))", "processed"),
                (f"sum(rate(data_analysis_outputs_total{_OF}{_RATE}))", "outputs"),
            ],
        ),
        grafana.Panel(
            title="Unread records",
            description="Records between position and end, by topic.",
            unit="short",
            queries=[(f"sum by (topic) (data_analysis_lag_records{_OF})", "{{topic}}")],
        ),
        grafana.Panel(
            title="Errors",
            description="Records that could not be used and callbacks that failed, per second, by kind.",
            unit="cps",
            queries=[
                (f"sum by (error_type) (rate(data_analysis_errors_total{_OF}{_RATE}))", "{{error_type}}")
            ],
        ),
        grafana.Panel(
            title="Callback time",
            description="What half, 95 and 99 of 100 callbacks stay under.",
            unit="s",
            queries=[
                (_quantile(share, "data_analysis_processing_seconds", _OF), f"{share:.0%}")
                for share in (0.5, 0.95, 0.99)
            ],
        ),
        grafana.Panel(
            title="Record to output, 95 %",
            description="From a record's timestamp to the acknowledgement of its output.",
            unit="s",
            queries=[
                (_quantile(0.95, "data_analysis_end_to_end_seconds", _OF, "shard, "), "shard {{shard}}")
            ],
        ),
        grafana.Panel(
            title="Callbacks under way",
            description="Triggers whose callback runs or waits, by shard.",
            unit="short",
            queries=[
                (f"sum by (shard) (data_analysis_in_flight{_OF})", "shard {{shard}} runs"),
                (f"sum by (shard) (data_analysis_waiting{_OF})", "shard {{shard}} waits"),
            ],
        ),
        grafana.Panel(
            title="Memory",
            description="Memory of each worker, and the part of it that windows take.",
            unit="bytes",
            width=24,
            queries=[
                (f"process_resident_memory_bytes{_OF}", "shard {{shard}} process"),
                (f"data_analysis_window_bytes{_OF}", "shard {{shard}} windows"),
            ],
        ),
        grafana.Panel(
            title="Windows in files",
            description="Room on the disk that the windows in files take, by shard; at most state.maxBytes.",
            unit="bytes",
            queries=[(f"data_analysis_state_bytes{_OF}", "shard {{shard}}")],
        ),
        grafana.Panel(
            title="Windows not kept",
            description="Failures to keep windows in files or snapshots, or to take them, by reason.",
            unit="short",
            queries=[(f"sum by (reason) {_not_kept(_OF)}", "{{reason}}")],
        ),
        grafana.Panel(
            title="Age of the oldest checkpoint",
            description="A restart reads at least so much of the topics again, by shard.",
            unit="s",
            queries=[(f"data_analysis_checkpoint_age_seconds{_OF}", "shard {{shard}}")],
        ),
        grafana.Panel(
            title="Age of the snapshot",
            description="Time since the newest snapshot was begun, by shard; none if none was asked for.",
            unit="s",
            queries=[(f"data_analysis_snapshot_age_seconds{_OF}", "shard {{shard}}")],
        ),
    ],
)

OPERATOR = grafana.Dashboard(
    uid="analysis-operator",
    title="Analysis: operator",
    description="The operator itself: does it keep up, and does the API server serve it?",
    variables=[],
    panels=[
        _stat(
            "Leaders",
            "Operators that lead; it should be one for each release.",
            [(f"sum(analysis_operator_leader{_OPERATOR})", "leaders")],
        ),
        _stat(
            "Modules failing",
            "Modules whose last pass failed.",
            [("sum(analysis_operator_modules_failing)", "modules")],
        ),
        _stat(
            "Changes that watches missed",
            "Found by the slow comparison within the last day.",
            [(_MISSED_TODAY, "changes")],
        ),
        grafana.Panel(
            title="Passes",
            description="Passes over modules per second, by outcome.",
            unit="cps",
            queries=[
                (f"sum by (outcome) (rate(analysis_operator_reconcile_total{_RATE}))", "{{outcome}}"),
            ],
        ),
        grafana.Panel(
            title="Times",
            description="What 95 of 100 passes, requests to the API and hot edits stay under.",
            unit="s",
            queries=[
                (_quantile(0.95, "analysis_operator_reconcile_seconds", ""), "pass"),
                (_quantile(0.95, "analysis_operator_api_request_seconds", ""), "request"),
                (_quantile(0.95, "analysis_operator_hot_apply_seconds", ""), "hot edit"),
            ],
        ),
        grafana.Panel(
            title="Queue",
            description="Modules that wait for a pass.",
            unit="short",
            queries=[("max(analysis_operator_queue_depth)", "waiting")],
        ),
        grafana.Panel(
            title="Requests to the API server",
            description="Per second, by the code of the answer; none: no answer.",
            unit="reqps",
            queries=[(f"sum by (code) (rate(analysis_operator_api_requests_total{_RATE}))", "{{code}}")],
        ),
        grafana.Panel(
            title="Memory",
            description="Resident memory of each operator.",
            unit="bytes",
            width=24,
            queries=[(f"process_resident_memory_bytes{_OPERATOR}", "{{pod}}")],
        ),
    ],
)

ALL: Mapping[str, grafana.Dashboard] = {"fleet": FLEET, "module": MODULE, "operator": OPERATOR}
"""The dashboards, by the names of their files."""
