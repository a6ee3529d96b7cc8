"""The operating system: durable files, threads, clock, log, systemd, tracing."""
