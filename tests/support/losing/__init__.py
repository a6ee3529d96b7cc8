"""A file system that loses at a power cut what was not synced: model, FUSE server, and the tests' handle."""
