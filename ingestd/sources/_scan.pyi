def scan(
    query: bytes, wanted: tuple[bytes, ...], /
) -> tuple[bytes, tuple[str | None, ...], tuple[tuple[str, str], ...]] | None:
    """See query.Scanned and query.scan."""
