"""The documented Python API of the data_analysis system, a thin face on the worker's engine.

Importing it touches no file and no logger but its own.
"""

from d_a.errors import (
    ConfigurationError,
    DataAnalysisError,
    DispatcherError,
    KafkaConnectionError,
    handle_error,
)

__all__ = [
    "DataAnalysisError",
    "DispatcherError",
    "KafkaConnectionError",
    "handle_error",
]
