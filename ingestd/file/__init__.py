"""The file sink: rotating NDJSON files, their recovery, retention and manifests."""
