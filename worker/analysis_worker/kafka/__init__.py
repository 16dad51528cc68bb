"""Everything that speaks Kafka: clients behind small ports, decoding, encoding, progress, dead letters."""
