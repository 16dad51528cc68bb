"""The commands of `analysis-worker`, one file each."""
