"""The AnalysisModule resource in Python: what a user asks (spec), what one worker is told (Assignment).

Standard library only, so that the operator and the worker both import it; nothing here does I/O.
"""
