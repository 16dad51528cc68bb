"""The worker: sliding windows per station and topic, callbacks, outputs."""
