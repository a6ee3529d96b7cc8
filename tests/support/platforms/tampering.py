"""Ways to change a signed callback, each of which must be noticed."""

from __future__ import annotations

from collections.abc import Callable


def swap_two(url: str) -> str:
    return url.replace("userid=30112233&pid=120034567", "pid=120034567&userid=30112233")


CHANGES: dict[str, Callable[[str], str]] = {
    "reordered": swap_two,
    "a space as %20 where + was signed": lambda url: url.replace("Mozilla%2F5.0+", "Mozilla%2F5.0%20"),
    "escapes in lower case": lambda url: url.replace("%2F", "%2f"),
    "decoded": lambda url: url.replace("%2F", "/"),
    "encoded twice": lambda url: url.replace("%252B", "%25252B"),
    "a value changed": lambda url: url.replace("actType=2", "actType=3"),
    "a parameter more": lambda url: url.replace("&sign=", "&x=1&sign="),
    "a blank parameter less": lambda url: url.replace("idfa=&", ""),
    "another path": lambda url: url.replace("/app42?", "/app43?"),
    "the signature's last digit": lambda url: url[:-1] + "b",
    "the signature cut short": lambda url: url[:-1],
    "the signature of no hex": lambda url: url[:-2] + "zz",
    "the signature not last": lambda url: url + "&x=1",
    "the signature first": lambda url: (
        url.partition("?")[0] + "?sign=" + url[-32:] + "&" + url.partition("?")[2].rpartition("&sign=")[0]
    ),
    "a second signature": lambda url: url + "&sign=" + "0" * 32,
}
