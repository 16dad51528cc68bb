"""Windows kept in files: what a restart needs not read again from Kafka."""
