"""HTTP: bytes to requests and responses to bytes. Knows no source and no sink."""
