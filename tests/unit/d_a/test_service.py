"""The documented import path."""

import d_a
from d_a import service


def test_both_services_are_found_under_one_name() -> None:
    assert service.__all__ == ["AsyncDataAnalysisService", "DataAnalysisService"]
    assert service.DataAnalysisService is d_a.DataAnalysisService
    assert service.AsyncDataAnalysisService is d_a.AsyncDataAnalysisService
