"""What an operator of the system sees of a worker: its status, metrics, HTTP pages and logs.

Nothing here decides anything for the worker; it reads what the service tells and counts.
"""
