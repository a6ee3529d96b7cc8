"""`python -m ingestd`."""

from ingestd.cli import main

main(prog_name="ingestd")
