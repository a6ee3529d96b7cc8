def recognize(data: bytes, headers: dict[bytes, bytes], /) -> tuple[bytes, bytes, bytes] | None:
    """Method, target and body of `data` where it is exactly one plain request, else None.

    `headers`, empty before, then holds the header fields as httptools reports them: names as they were
    spelled, of a repeated one the last value. Where the answer is None it is untouched. Raises only TypeError
    and MemoryError.
    """
