"""The user's function: loading it, calling it apart from everything else, and what its failures cost."""
