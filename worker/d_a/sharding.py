"""Which part of the stations a service's process runs, where no operator says it."""

import os
import re
from collections.abc import Mapping
from typing import Final

from d_a.errors import ConfigurationError

ENV_SHARD: Final = "DATA_ANALYSIS_SHARD"
ENV_SHARDS: Final = "DATA_ANALYSIS_SHARDS"
_MOST: Final = 4096


def from_environment(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """This process's number and how many there are: (0, 1) unless DATA_ANALYSIS_SHARDS says more.

    DATA_ANALYSIS_SHARD is a number, or a name that ends in one as a StatefulSet's pods have it: `analysis-2`.
    Raises ConfigurationError.
    """
    shards = environment.get(ENV_SHARDS) or "1"
    if not re.fullmatch(r"[0-9]{1,4}", shards) or not 1 <= int(shards) <= _MOST:
        raise ConfigurationError.single(ENV_SHARDS, f"is {shards[:40]!r}", f"give a number from 1 to {_MOST}")
    named = environment.get(ENV_SHARD) or "0"
    match = re.fullmatch(r"(?:.*-)?([0-9]{1,4})", named)
    if match is None or int(match[1]) >= int(shards):
        mend = f"give a number from 0 to {int(shards) - 1}, or a name that ends in -<number>"
        raise ConfigurationError.single(ENV_SHARD, f"is {named[:40]!r}", mend)
    return int(match[1]), int(shards)
