"""The Kafka sinks: through the spool, or straight from memory."""
