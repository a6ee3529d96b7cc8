"""ingestd: takes ad platforms' click callbacks behind nginx and answers only when the click is on disk."""

__version__ = "0.1.0"
