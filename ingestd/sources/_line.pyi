from collections.abc import Callable

class LineMaker:
    """Makes the lines of one source's usual events.

    `source`, `kind`: pieces of the line up to the value of `route` and of `method`. `node`: the piece with
    the node. `prefix`: the first bytes of what `dup_key` is a hash of. `dedup`: groups of names that together
    are a click id. `volatiles`: the starts of pairs that change from repeat to repeat. `is_macro`,
    `null_like`, `is_null`: those of macros.py and null_values.py. `digest`: bytes to 32 hexadecimal digits.
    `clock`: the parameter with the platform's time, `unit`: "auto", "s" or "ms"; `stale_after`,
    `future_after`: ms.
    """

    def __init__(
        self, *, source: bytes, kind: bytes, node: bytes, prefix: bytes, dedup: tuple[tuple[bytes, ...], ...],
        volatiles: tuple[bytes, ...], is_macro: Callable[[str], bool], null_like: frozenset[str],
        is_null: Callable[[str], bool], digest: Callable[[bytes], str],
        clock: bytes | None, unit: str, stale_after: int, future_after: int, keep_raw: bool,
    ) -> None: ...  # fmt: skip
    def line(
        self, method: bytes, path: str, route: str, raw: bytes, client_ip: str, forwarded: bytes,
        agent: bytes, received_ns: int, signature: str, count_macro: Callable[[str], None], /,
    ) -> bytes | None:  # fmt: skip
        """The line of a request without a body, with its newline; None: the general path must make it.

        `count_macro` is called with the name of each parameter that is a left-in macro.
        """
