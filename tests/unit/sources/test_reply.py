"""What a source answers: fixed replies, no body at all, a pixel, and redirects to allowed hosts only."""

from __future__ import annotations

import pytest

from ingestd.errors import ConfigError
from tests.support.desk import Taken, one


def parts(taken: Taken) -> tuple[int, dict[str, str], bytes]:
    head, _, body = taken.reply.keep.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def test_a_reply_has_the_status_body_and_type_it_is_given() -> None:
    more = """reply = { status = 202, body = '{"ok":true}', content_type = "application/json" }"""
    status, fields, body = parts(one("generic", more).take("/c/x"))
    assert (status, body) == (202, b'{"ok":true}')
    assert fields == {"Content-Length": "11", "Content-Type": "application/json"}


def test_204_has_no_body_and_no_length() -> None:
    assert parts(one("generic", 'reply = { status = 204, body = "" }').take("/c/x")) == (204, {}, b"")


def test_a_pixel_is_a_gif_of_one_transparent_pixel_that_is_not_cached() -> None:
    status, fields, body = parts(one("generic", "reply.pixel = true").take("/c/x"))
    assert (status, fields["Content-Type"], fields["Cache-Control"]) == (200, "image/gif", "no-store")
    assert body.startswith(b"GIF89a\x01\x00\x01\x00")
    assert body.endswith(b";")
    assert int(fields["Content-Length"]) == len(body) == 42


REDIRECT = """[source.reply]
body = "stay"
[source.reply.redirect]
param = "to"
hosts = ["shop.example.com", ".apps.example.com"]
"""


@pytest.mark.parametrize(
    ("address", "location"),
    [
        ("https://shop.example.com/p?id=1%26x=2#top", "https://shop.example.com/p?id=1"),
        ("https%3A%2F%2Fshop.example.com%2Fp%3Fid%3D1%26x%3D2", "https://shop.example.com/p?id=1&x=2"),
        ("http://SHOP.example.com:8443", "http://SHOP.example.com:8443"),
        ("https://eu.apps.example.com/", "https://eu.apps.example.com/"),
        ("https%3A%2F%2Fshop.example.com%2F%E4%BD%A0%20x", "https://shop.example.com/%E4%BD%A0%20x"),
    ],
)
def test_a_browser_is_sent_on_to_an_allowed_host(address: str, location: str) -> None:
    status, fields, body = parts(one("generic", REDIRECT).take(f"/c/x?to={address}"))
    if "#" in address:
        location = "https://shop.example.com/p?id=1&x=2"
    assert (status, fields["Location"], body) == (302, location, b"")


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example.net/",
        "https://apps.example.com/",
        "https://shop.example.com.evil.net/",
        "https://evilshop.example.com/",
        "https://shop.example.com@evil.net/",
        "https://evil.net\\@shop.example.com/",
        "https://shop.example.com%5C@evil.net/",
        "https%3A%2F%2Fevil.net%2F%3F%2F%2Fshop.example.com",
        "//shop.example.com/",
        "javascript:alert(1)//shop.example.com",
        "https:shop.example.com",
        "https:///shop.example.com",
        "https://shop.example.com%0D%0ASet-Cookie:a",
        "https://shop.example.com%00.evil.net",
        "__REDIRECT__",
        "",
    ],
)
def test_a_browser_is_sent_nowhere_else(address: str) -> None:
    status, fields, body = parts(one("generic", REDIRECT).take(f"/c/x?to={address}"))
    assert (status, body) == (200, b"stay")
    assert "Location" not in fields
    again = parts(
        one("generic", REDIRECT + 'fallback = "https://home.example.com/"').take(f"/c/x?to={address}")
    )
    assert (again[0], again[1]["Location"]) == (302, "https://home.example.com/")


def test_a_line_break_in_an_address_makes_no_header() -> None:
    taken = one("generic", REDIRECT).take("/c/x?to=https://shop.example.com/%0D%0ASet-Cookie:a")
    assert parts(taken)[1]["Location"] == "https://shop.example.com/%0D%0ASet-Cookie:a"
    assert b"\r\nSet-Cookie" not in taken.reply.keep


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        ('{ status = 204, body = "x" }', "has no body"),
        ("{ status = 204, pixel = true }", "no pixel"),
        ('{ redirect = { param = "u", hosts = [] } }', "redirect.hosts"),
        ('{ redirect = { param = "u", hosts = ["https://x.com"] } }', "is not a host"),
        ('{ redirect = { param = "u", hosts = ["x.com"], fallback = "ftp://x" } }', "fallback"),
        ('{ content_type = "text/plain\\r\\nX: y" }', "content_type"),
    ],
)
def test_a_reply_that_cannot_be_given_is_refused(reply: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        one("generic", f"reply = {reply}")
