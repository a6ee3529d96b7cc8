"""Helpers of systemd_boot: the guest's boot script, its journal, the daemon's virtual environment."""
