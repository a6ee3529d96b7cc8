"""What ops import into other programs."""
