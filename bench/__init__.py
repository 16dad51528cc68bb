"""What `make bench` measures: the worker beside its ceiling and its peers, on one real broker, in one run."""
