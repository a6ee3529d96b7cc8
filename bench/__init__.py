"""Benchmarks of ingestd beside what it replaces; bench/README.md says how to run and read them."""
