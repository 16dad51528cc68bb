"""Both services under one name, for programs that import them from here."""

from d_a.async_service import AsyncDataAnalysisService
from d_a.sync_service import DataAnalysisService

__all__ = ["AsyncDataAnalysisService", "DataAnalysisService"]
