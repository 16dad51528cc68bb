"""Where a group stood before any worker committed is told by the metadata of the workers' own commits."""

import pytest

from analysis_worker.kafka import group_offsets


@pytest.mark.parametrize(
    ("offset", "metadata", "before"),
    [
        (7, "", 7),
        (7, "someone else's", 7),
        (7, None, 7),
        (-1, None, None),
        (-1, "", None),
        (9, f"{group_offsets.MARK}4", 4),
        (9, group_offsets.MARK, None),
    ],
)
def test_a_workers_own_commit_is_no_start_and_null_metadata_is_nobodys(
    offset: int, metadata: str | None, before: int | None
) -> None:
    assert group_offsets._before_workers(offset, metadata) == before
