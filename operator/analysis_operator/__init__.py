"""The operator: keeps the worker of every shard of every AnalysisModule running, told what to run."""

from importlib import metadata

VERSION = metadata.version("station-analysis")
"""The version of the distribution."""
