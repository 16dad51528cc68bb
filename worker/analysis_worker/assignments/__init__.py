"""The Assignment as a file that changes: a mounted ConfigMap, or any file."""
