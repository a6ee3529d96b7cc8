"""Sinks: where batches become durable. A sink knows nothing of HTTP."""
