"""What the operator decides. PURE: no event loop, clock, environment, log, cluster or client library.

Values in, values out, time as an argument: who owns a slot (`partitioning`), how it changes hands without two
owners (`handover`), who depends on whom (`dependencies`) and how that looks (`drawing`).
"""
