"""Fuzzing: one target a file. `python -m tests.commands.fuzz --help` says how to run one for long."""
