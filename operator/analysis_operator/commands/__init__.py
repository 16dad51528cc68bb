"""One file for each command of `analysis-operator` and `kubectl analysis`, and what they share."""
