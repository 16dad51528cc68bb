"""The documented Python API of the data_analysis system, a thin face on the worker's engine.

Importing it touches no file and sets up no logger; clients for programs of one's own are in `kafka_client`.
"""

from d_a.async_service import AsyncDataAnalysisService
from d_a.errors import DataAnalysisError, DispatcherError, KafkaConnectionError, handle_error
from d_a.sync_service import DataAnalysisService

__all__ = [
    "AsyncDataAnalysisService",
    "DataAnalysisError",
    "DataAnalysisService",
    "DispatcherError",
    "KafkaConnectionError",
    "handle_error",
]
