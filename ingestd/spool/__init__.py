"""The spool: batches on disk that Kafka has not confirmed yet."""
