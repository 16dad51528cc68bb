"""Which part of the stations a process runs, by its environment."""

import pytest

from d_a import sharding
from d_a.errors import ConfigurationError


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({}, (0, 1)),
        ({"DATA_ANALYSIS_SHARDS": "3", "DATA_ANALYSIS_SHARD": "2"}, (2, 3)),
        ({"DATA_ANALYSIS_SHARDS": "3", "DATA_ANALYSIS_SHARD": "data-analysis-1"}, (1, 3)),
        ({"DATA_ANALYSIS_SHARDS": "", "DATA_ANALYSIS_SHARD": ""}, (0, 1)),
    ],
)
def test_number_and_count_come_from_the_environment(
    environment: dict[str, str], part: tuple[int, int]
) -> None:
    assert sharding.from_environment(environment) == part


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"DATA_ANALYSIS_SHARDS": "many"}, "DATA_ANALYSIS_SHARDS: is 'many'; give a number from 1 to 4096"),
        ({"DATA_ANALYSIS_SHARDS": "0"}, "DATA_ANALYSIS_SHARDS: is '0'"),
        ({"DATA_ANALYSIS_SHARDS": "2", "DATA_ANALYSIS_SHARD": "2"}, "give a number from 0 to 1"),
        ({"DATA_ANALYSIS_SHARDS": "2", "DATA_ANALYSIS_SHARD": "pod-abc"}, "a name that ends in -<number>"),
    ],
)
def test_what_cannot_be_is_told_with_the_mend(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sharding.from_environment(environment)
    assert told in str(caught.value)
