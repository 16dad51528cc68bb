"""Observe, plan, apply, report: one file each, and the queue that says for which module."""
