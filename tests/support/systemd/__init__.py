"""A booted systemd: the guest, its boot script and journal, the daemon's virtual environment in it."""
