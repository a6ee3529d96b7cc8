"""The modules that small bugs are put into, the tests that should see each, and those that none can."""

from __future__ import annotations

from pathlib import Path

# A module to the unit tests that are about it: quick ones, for each is run many times.
TARGETS: dict[str, tuple[str, ...]] = {
    "ingestd/pipeline/buffer.py": ("pipeline/buffer", "intake", "pipeline/flusher"),
    "ingestd/pipeline/flusher.py": (
        "pipeline/flusher", "pipeline/flusher_faults", "pipeline/subscribers", "intake",
    ),
    "ingestd/system/durable.py": ("system/durable", "file/ndjson", "file/recovery", "file/sink"),
    "ingestd/file/sink.py": (
        "file/sink", "file/sink_faults", "file/sink_upkeep", "file/misplaced", "pipeline/sink_contract",
    ),
    "ingestd/file/counters.py": ("file/sink_upkeep",),
    "ingestd/file/listing.py": ("file/listing", "file/sink_upkeep"),
    "ingestd/file/upkeep.py": ("file/sink", "file/sink_faults", "file/sink_upkeep", "file/manifests"),
    "ingestd/file/ndjson.py": ("file/ndjson", "file/sink", "file/sink_faults", "file/recovery"),
    "ingestd/file/recovery.py": ("file/recovery", "file/recovery_steps", "file/crash_at_any_step"),
    "ingestd/file/compression.py": ("file/compression", "file/crash_at_any_step", "file/sink_upkeep"),
    "ingestd/file/names.py": ("file/names", "file/ndjson", "file/retention", "cli/audit_files"),
    "ingestd/file/retention.py": ("file/retention",),
    "ingestd/file/scan.py": ("file/scan", "file/manifests", "cli/audit_files"),
    "ingestd/file/inventory.py": ("file/manifest_damage", "cli/audit_files", "cli/audit_command"),
    "ingestd/file/manifest.py": ("file/manifests", "file/manifests_steps", "file/manifest_damage"),
    "ingestd/file/manifests.py": (
        "file/manifests", "file/manifests_steps", "file/manifest_damage", "cli/audit_files",
    ),
    **{
        f"ingestd/spool/{name}.py": (
            "spool/spool", "spool/checkpoint", "spool/damage", "spool/envelope", "spool/format", "spool/fs",
            "spool/full", "spool/inspect", "spool/missing", "spool/model", "spool/real", "spool/recovery",
            "spool/scan", "spool/trend", "cli/spool_command",
        )
        for name in (
            "spool", "checkpoint", "directory", "envelope", "format", "fs", "inspect", "recovery", "scan",
            "segment", "trend",
        )
    },
    "ingestd/kafka/state.py": ("kafka/state", "kafka/delivery", "kafka/delivery_bounds"),
    "ingestd/kafka/delivery.py": ("kafka/delivery", "kafka/delivery_bounds", "kafka/state"),
    "ingestd/pipeline/fanout.py": ("pipeline/fanout", "pipeline/sink_contract"),
    "ingestd/kafka/dead_letter_file.py": ("kafka/dead_letter_file",),
    "ingestd/system/io_thread.py": ("system/io_thread",),
    "ingestd/tally.py": ("tally", "tally_figures", "file/scan", "file/manifests", "kafka/manifest"),
}  # fmt: skip
EXPLAINED = Path(__file__).with_name("explained.tsv")


def unit_tests(module: str) -> list[str]:
    """Paths of the unit tests about a module, from the root of the repository."""
    return [str(Path("tests/unit", name).with_name(f"test_{Path(name).name}.py")) for name in TARGETS[module]]


def explanations() -> dict[tuple[str, str, str], str]:
    """Module, line and change to the reason why no test can see it."""
    found = {}
    for line in EXPLAINED.read_text("utf-8").splitlines() if EXPLAINED.exists() else []:
        if line and not line.startswith("#"):
            module, text, change, reason = line.split("\t")
            found[module, text, change] = reason
    return found
