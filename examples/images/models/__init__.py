"""A user's own models, as a package in the workers' image."""
