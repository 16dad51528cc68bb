"""What is measured: the subjects, how many records each reads, and which of ours answers which peer."""

import dataclasses

INGEST = "ours_ingest"
MEAN = "ours_mean"
OUTPUT = "ours_output"
ONCE = "ours_exactly_once"
CEILING = "ceiling"
QUIX_OUTPUT = "quix_to_topic"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """One program under measurement: `python -m bench.subjects.<module>` with a variant.

    `records` and `quick_records` are how many its topic holds. `answered_by` names the subject of ours that
    does the nearest job, for a peer; `distribution` is what must be installed for it.
    """

    name: str
    label: str
    label_zh: str
    module: str
    variant: str = "-"
    records: int
    quick_records: int = 2_000
    answered_by: str | None = None
    distribution: str | None = None


SUBJECTS = (
    Subject(
        name=CEILING,
        label="ceiling: aiokafka `getmany` + orjson, no work",
        label_zh="上限：aiokafka `getmany` + orjson，不做任何处理",
        module="ceiling",
        records=800_000,
    ),
    Subject(
        name=INGEST,
        label="**this worker**: window, callback reads its newest values",
        label_zh="**本系统**：窗口，回调读取最新值",
        module="ours",
        variant="ingest",
        records=400_000,
    ),
    Subject(
        name=MEAN,
        label="**this worker**: window, callback takes its mean",
        label_zh="**本系统**：窗口，回调求均值",
        module="ours",
        variant="mean",
        records=400_000,
    ),
    Subject(
        name=OUTPUT,
        label="**this worker**: window, one output per record",
        label_zh="**本系统**：窗口，每条记录一个输出",
        module="ours",
        variant="output",
        records=400_000,
    ),
    Subject(
        name=ONCE,
        label="**this worker**: the same, `ExactlyOnce`: a transaction per second",
        label_zh="**本系统**：同上，`ExactlyOnce`：每秒一个事务",
        module="ours",
        variant="exactly_once",
        records=400_000,
    ),
    Subject(
        name="quix_apply",
        label="Quix Streams `apply`, no state",
        label_zh="Quix Streams `apply`，无状态",
        module="quix",
        variant="apply",
        records=400_000,
        answered_by=INGEST,
        distribution="quixstreams",
    ),
    Subject(
        name=QUIX_OUTPUT,
        label="Quix Streams `apply` → `to_topic`, one output per record",
        label_zh="Quix Streams `apply` → `to_topic`，每条记录一个输出",
        module="quix",
        variant="to_topic",
        records=200_000,
        answered_by=OUTPUT,
        distribution="quixstreams",
    ),
    Subject(
        name="quix_tumbling",
        label="Quix Streams tumbling mean, 10 s",
        label_zh="Quix Streams 滚动窗口均值，10 秒",
        module="quix",
        variant="tumbling",
        records=60_000,
        answered_by=MEAN,
        distribution="quixstreams",
    ),
    Subject(
        name="quix_sliding_count",
        label="Quix Streams sliding count window, mean of 10",
        label_zh="Quix Streams 滑动计数窗口，10 条均值",
        module="quix",
        variant="sliding_count",
        records=60_000,
        answered_by=MEAN,
        distribution="quixstreams",
    ),
    Subject(
        name="bytewax",
        label="Bytewax `stateful_map`, mean of 10",
        label_zh="Bytewax `stateful_map`，10 条均值",
        module="bytewax_map",
        records=400_000,
        answered_by=MEAN,
        distribution="bytewax",
    ),
    Subject(
        name="faust",
        label="Faust agent, mean of 10",
        label_zh="Faust agent，10 条均值",
        module="faust_agent",
        records=60_000,
        answered_by=MEAN,
        distribution="faust-streaming",
    ),
)
"""In the order in which each round runs them."""

WINDOW_COST = Subject(
    name="window_cost",
    label="CPU per record at a window of 604,800 and at one of 10",
    label_zh="窗口为 604,800 与 10 时每条记录的 CPU",
    module="window_cost",
    records=0,
    quick_records=0,
)
MEMORY = Subject(
    name="memory",
    label="bytes per record of a full window",
    label_zh="满窗口每条记录的字节数",
    module="memory",
    records=0,
    quick_records=0,
)
IN_PROCESS = (WINDOW_COST, MEMORY)
"""Run once, without a broker."""


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a figure is to reach: at least, or at most, `bound`."""

    figure: str
    bound: float
    at_least: bool
    label: str
    label_zh: str

    def reached(self, value: float) -> bool:
        """Whether the figure is good enough."""
        return value >= self.bound if self.at_least else value <= self.bound


GOALS = (
    Goal("ingest_vs_ceiling", 0.5, True, "ingest / ceiling", "接入 / 上限"),
    Goal(
        "ingest_vs_best_peer",
        1.0,
        True,
        "nearest job of ours / best peer (the lowest such ratio)",
        "本系统最接近的工作 / 最好的同类（最低的比值）",
    ),
    Goal(
        "output_vs_quix",
        3.0,
        True,
        "output per record / Quix `apply` → `to_topic`",
        "每条记录一个输出 / Quix `apply` → `to_topic`",
    ),
    Goal(
        "eos_vs_alo",
        0.85,
        True,
        "`ExactlyOnce` / `AtLeastOnce`, one output per record",
        "`ExactlyOnce` / `AtLeastOnce`，每条记录一个输出",
    ),
    Goal(
        "window_cost_ratio",
        1.2,
        False,
        "CPU per record, window 604,800 / window 10",
        "每条记录的 CPU：窗口 604,800 / 窗口 10",
    ),
    Goal("bytes_per_record", 120.0, False, "bytes per 15-field record", "每条 15 字段记录的字节数"),
)


def sizes(subjects: tuple[Subject, ...], *, quick: bool) -> list[int]:
    """How many records the topics hold that these subjects need, each size once, largest first."""
    return sorted({records_of(subject, quick=quick) for subject in subjects}, reverse=True)


def records_of(subject: Subject, *, quick: bool) -> int:
    """How many records the subject reads."""
    return subject.quick_records if quick else subject.records
