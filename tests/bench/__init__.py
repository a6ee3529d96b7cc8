"""The benchmark's own arithmetic: what it computes from figures, without a load."""
