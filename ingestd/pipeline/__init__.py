"""The pipeline: an event in memory, until a sink has made it durable. Knows no HTTP and no disk."""
