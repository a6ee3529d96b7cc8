"""The configuration: typed, frozen, with messages that say what to write instead."""

from ingestd.config.sections import MAX_SOURCES, Config, FileConfig, load, parse, too_many_sources

__all__ = ["MAX_SOURCES", "Config", "FileConfig", "load", "parse", "too_many_sources"]
