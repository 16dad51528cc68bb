"""The tests and what they stand on; a package, so that `tests.infrastructure` can be imported and run."""
