"""All input and output of the operator: the Kubernetes API, the workers' status pages, Kafka's metadata."""
