"""The admin listener: health, status, metrics, tail."""
