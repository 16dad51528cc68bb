"""The pure core: records in, windows and triggers out.

Nothing here waits, reads a clock or the environment, logs, or talks to Kafka; time is an argument. numpy
is the one library allowed, and one lock per segment lets callbacks in other threads read columns safely.
"""
