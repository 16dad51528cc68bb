"""The documented Python API of the data_analysis system, a thin face on the same engine."""
