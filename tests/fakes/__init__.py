"""Stand-ins for real systems, in memory and able to fail on command; `tests/contract` holds them to the truth."""
