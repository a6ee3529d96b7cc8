"""A real Kafka broker, a mock cluster and a faulty wire, for tests."""
