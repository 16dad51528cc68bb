"""The worker: sliding windows per station and topic, callbacks, outputs."""

from importlib import metadata

VERSION = metadata.version("station-analysis")
"""The version of the distribution."""
