"""Fuzzing: one target a file. `python -m tests.fuzz --help` says how to run one for long."""
