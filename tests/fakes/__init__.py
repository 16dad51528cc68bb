"""Stand-ins for real systems: in memory, failing on command, held to the truth by `tests/contract`."""
