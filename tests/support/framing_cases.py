"""Requests whose end two servers may see in different places, and what they are to us.

What is refused ends the connection, so that whatever stands behind it is nobody's request. Behind these bytes
the tests put another request: a parser that ends one too early or too late takes something else for it.
"""

from __future__ import annotations

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b"3\r\nabc\r\n0\r\n\r\n"
SMUGGLED = b"GET /c/demo?smuggled=1 HTTP/1.1\r\nHost: x\r\n\r\n"


def coded(line: bytes, body: bytes = BODY) -> bytes:
    """A POST with a line about its framing."""
    return HEAD + line + b"\r\n\r\n" + body


def plain(line: bytes) -> bytes:
    """A GET with one line."""
    return b"GET /a HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n"


# name -> the bytes, the body. All are `POST /a` and kept.
POSTS: dict[str, tuple[bytes, bytes]] = {
    "chunked behind a tab": (coded(b"Transfer-Encoding:\tchunked"), b"abc"),
    "chunked before a space": (coded(b"Transfer-Encoding: chunked "), b"abc"),
    "chunked in capitals": (coded(b"TRANSFER-ENCODING: CHUNKED"), b"abc"),
    "a name that is nearly Transfer-Encoding": (
        coded(b"Transfer_Encoding: chunked\r\nContent-Length: 0", b""), b""),
    "a name that is nearly Content-Length": (coded(b"Content_Length: 3", b""), b""),
    "no length, no body": (HEAD + b"\r\n", b""),
    "a length with zeros before it": (coded(b"Content-Length: 00003", b"abc"), b"abc"),
    "a length behind a tab": (coded(b"Content-Length:\t3", b"abc"), b"abc"),
    "a length before a tab": (coded(b"Content-Length: 3\t", b"abc"), b"abc"),
    "a request as body": (coded(b"Content-Length: %d" % len(SMUGGLED), SMUGGLED), SMUGGLED),
    "a request as chunk": (CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), SMUGGLED),
    "a chunk's end as body": (coded(b"Content-Length: 13", BODY), BODY),
    "chunk sizes in both cases": (
        CHUNKED + b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
    "a chunk size with zeros before it": (CHUNKED + b"0" * 15 + b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "a last chunk of many zeros": (CHUNKED + b"3\r\nabc\r\n00000\r\n\r\n", b"abc"),
    "an upgrade in the trailers": (
        CHUNKED + b"3\r\nabc\r\n0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b"abc"),
    "an expectation in the trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nExpect: teapot\r\n\r\n", b"abc"),
    "a host in the trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nHost: y\r\n\r\n", b"abc"),
    "an upgrade nobody connects": (coded(b"Upgrade: h2c\r\nContent-Length: 2", b"hi"), b"hi"),
}  # fmt: skip

# name -> the bytes, the method and the target. None has a body, all are kept. No Host, or several, decide
# nothing here: a source is found by its path, and signatures are made over the configured address.
TARGETS: dict[str, tuple[bytes, bytes, bytes]] = {
    "no host": (b"GET /a HTTP/1.1\r\n\r\n", b"GET", b"/a"),
    "two hosts": (plain(b"Host: y"), b"GET", b"/a"),
    "an empty host": (b"GET /a HTTP/1.1\r\nHost:\r\n\r\n", b"GET", b"/a"),
    "two spaces before the target": (b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n", b"GET", b"/a"),
    "two spaces behind the target": (b"GET /a  HTTP/1.1\r\nHost: x\r\n\r\n", b"GET", b"/a"),
    "line feeds first": (b"\n\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"GET", b"/a"),
    "an asterisk for a get": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", b"GET", b"*"),
    "an absolute target with a user": (b"GET http://u:p@h/a HTTP/1.1\r\n\r\n", b"GET", b"http://u:p@h/a"),
    "an absolute target without a path": (b"GET http://h HTTP/1.1\r\n\r\n", b"GET", b"http://h"),
    "an absolute target with a query alone": (
        b"GET http://h?u=/c/demo HTTP/1.1\r\n\r\n", b"GET", b"http://h?u=/c/demo"),
    "an absolute target of another scheme": (b"GET ftp://h/a HTTP/1.1\r\n\r\n", b"GET", b"ftp://h/a"),
    "a target that could be a host": (b"GET //h/a HTTP/1.1\r\nHost: x\r\n\r\n", b"GET", b"//h/a"),
    "a path that climbs": (b"GET /c/../a HTTP/1.1\r\nHost: x\r\n\r\n", b"GET", b"/c/../a"),
    "a path of connect": (b"CONNECT /a HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT", b"/a"),
    "a websocket": (
        plain(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA=="), b"GET", b"/a"),
    "a header of a header's size": (plain(b"Content-Type: Content-Length: 3"), b"GET", b"/a"),
    "a trace": (b"TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n", b"TRACE", b"/a"),
}  # fmt: skip

# name -> the bytes, the reason
REFUSED: dict[str, tuple[bytes, str]] = {
    # Transfer-Encoding, hidden or doubled
    "xchunked": (coded(b"Transfer-Encoding: xchunked"), "bad_length"),
    "chunked in quotes": (coded(b'Transfer-Encoding: "chunked"'), "bad_length"),
    "chunked with a parameter": (coded(b"Transfer-Encoding: chunked;q=1"), "bad_length"),
    "chunked and nothing": (coded(b"Transfer-Encoding: chunked,"), "bad_length"),
    "chunked twice in a line": (coded(b"Transfer-Encoding: chunked, chunked"), "bad_length"),
    "chunked in two lines": (
        coded(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), "bad_length"),
    "chunked, then identity": (coded(b"Transfer-Encoding: chunked, identity"), "bad_length"),
    "chunked, then gzip in a line of its own": (
        coded(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip"), "bad_length"),
    "gzip, then chunked in a line of its own and another spelling": (
        coded(b"Transfer-Encoding: gzip\r\ntransfer-encoding: chunked"), "bad_length"),
    "identity": (coded(b"Transfer-Encoding: identity"), "bad_length"),
    "identity and a length": (
        coded(b"Transfer-Encoding: identity\r\nContent-Length: 3", b"abc"), "bad_length"),
    "an empty transfer encoding": (coded(b"Transfer-Encoding:"), "bad_length"),
    "an empty transfer encoding of a get": (plain(b"Transfer-Encoding:"), "bad_length"),
    "a get in gzip": (plain(b"Transfer-Encoding: gzip"), "bad_length"),
    "a space before transfer encoding's colon": (coded(b"Transfer-Encoding : chunked"), "bad_request"),
    "a vertical tab before chunked": (coded(b"Transfer-Encoding:\x0bchunked"), "bad_request"),
    "chunked before a tab": (coded(b"Transfer-Encoding: chunked\t"), "bad_length"),
    "chunked folded": (coded(b"Transfer-Encoding:\r\n chunked"), "bad_request"),
    "chunked before a bare CR": (coded(b"Transfer-Encoding: chunked\rX: y"), "bad_request"),
    "chunked behind a bare LF": (coded(b"X: y\nTransfer-Encoding: chunked"), "bad_request"),
    "both lengths, hidden by case": (
        coded(b"content-length: 3\r\nTRANSFER-encoding: chunked"), "bad_length"),
    "both lengths in 1.0": (coded(b"Content-Length: 3\r\nTransfer-Encoding: chunked").replace(b"1.1", b"1.0"),
        "bad_length"),
    "both lengths and a request": (
        coded(b"Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED), "bad_length"),
    # Content-Length
    "a length of commas": (coded(b"Content-Length: ,", b""), "bad_length"),
    "the same length twice in a line": (coded(b"Content-Length: 3,3", b"abc"), "bad_length"),
    "the same length in another case": (
        coded(b"Content-Length: 3\r\ncontent-length: 3", b"abc"), "bad_length"),
    "a shorter length second": (
        coded(b"Content-Length: %d\r\nContent-Length: 0" % len(SMUGGLED), SMUGGLED), "bad_length"),
    "a length of two numbers": (coded(b"Content-Length: 3 3", b"abc"), "bad_length"),
    "a length with a point": (coded(b"Content-Length: 3.0", b"abc"), "bad_length"),
    "a length with an exponent": (coded(b"Content-Length: 3e0", b"abc"), "bad_length"),
    "a length as Python writes it": (coded(b"Content-Length: 1_0", b"0123456789"), "bad_length"),
    "a length in wide digits": (coded("Content-Length: ３".encode(), b"abc"), "bad_length"),
    "a length that wraps to three": (coded(b"Content-Length: 18446744073709551619", b"abc"), "bad_length"),
    "the longest length": (coded(b"Content-Length: 18446744073709551615", b"abc"), "body_too_large"),
    "a space before the length's colon": (coded(b"Content-Length : 3", b"abc"), "bad_request"),
    "a length folded": (coded(b"Content-Length:\r\n 3", b"abc"), "bad_request"),
    "a length with a zero byte": (coded(b"Content-Length: 3\0", b"abc"), "bad_length"),
    # chunks
    "a chunk without a size": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "a chunk size with a sign": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "a negative chunk size": (CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "a chunk size with 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "a space before a chunk size": (CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "a space behind a chunk size": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", "bad_request"),
    "a chunk size as Python writes it": (CHUNKED + b"1_0\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "a chunk size that wraps to three": (CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "a chunk size ended by LF": (CHUNKED + b"3\nabc\r\n0\r\n\r\n", "bad_request"),
    "a chunk size ended by CR": (CHUNKED + b"3\rabc\r\n0\r\n\r\n", "bad_request"),
    "a chunk ended by LF": (CHUNKED + b"3\r\nabc\n0\r\n\r\n", "bad_request"),
    "a chunk without an end": (CHUNKED + b"3\r\nabc0\r\n\r\n", "bad_request"),
    "a chunk shorter than it says": (CHUNKED + b"5\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "the last chunk ended by LF": (CHUNKED + b"3\r\nabc\r\n0\n\n", "bad_request"),
    "the trailers ended by LF": (CHUNKED + b"3\r\nabc\r\n0\r\n\n", "bad_request"),
    "an extension ended by LF": (CHUNKED + b"3;a\nabc\r\n0\r\n\r\n", "bad_request"),
    "an extension with CR": (CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "an extension with a zero byte": (CHUNKED + b"3;a\0b\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "an extension that is none": (CHUNKED + b"3;\r\nabc\r\n0\r\n\r\n", "bad_request"),
    "an extension quoted over two lines": (
        CHUNKED + b'3;a="x\r\n' + SMUGGLED + b'"\r\nabc\r\n0\r\n\r\n', "bad_request"),
    "a transfer encoding in the trailers": (
        CHUNKED + b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_length"),
    "a folded trailer": (CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n", "bad_request"),
    "a zero byte in a trailer": (CHUNKED + b"3\r\nabc\r\n0\r\nA: \0\r\n\r\n", "bad_request"),
    "a bare LF in the trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nA: b\n\r\n", "bad_request"),
    # lines
    "a bare CR in a header": (plain(b"A: b\rC: d"), "bad_request"),
    "bare CRs for lines": (b"GET /a HTTP/1.1\rHost: x\r\r", "bad_request"),
    "one bare LF among the headers": (plain(b"A: b\nC: d"), "bad_request"),
    "headers ended by a bare LF": (b"GET /a HTTP/1.1\r\nHost: x\r\n\n", "bad_request"),
    "two CRs and an LF": (plain(b"A: b\r"), "bad_request"),
    "a fold before any header": (b"GET /a HTTP/1.1\r\n A: b\r\n\r\n", "bad_request"),
    "a fold by a tab": (plain(b"A: b\r\n\tc"), "bad_request"),
    "a zero byte in a name": (plain(b"A\0: b"), "bad_request"),
    "a space in a name": (plain(b"A B: b"), "bad_request"),
    "a header without a name": (plain(b": b"), "bad_request"),
    "a high byte in a name": (plain(b"\xd6: b"), "bad_request"),
    "a DEL in a value": (plain(b"A: \x7f"), "bad_request"),
    "a control in a value": (plain(b"A: \x01"), "bad_request"),
    # request lines
    "a tab for a space": (b"GET\t/a HTTP/1.1\r\n\r\n", "bad_request"),
    "a space behind the version": (b"GET /a HTTP/1.1 \r\n\r\n", "bad_request"),
    "a space before the method": (b" GET /a HTTP/1.1\r\n\r\n", "bad_request"),
    "a version in small letters": (b"GET /a http/1.1\r\n\r\n", "bad_request"),
    "version 1.10": (b"GET /a HTTP/1.10\r\n\r\n", "bad_request"),
    "version 01.1": (b"GET /a HTTP/01.1\r\n\r\n", "bad_request"),
    "version 1 point nothing": (b"GET /a HTTP/1.\r\n\r\n", "bad_request"),
    "no version": (b"GET /a \r\n\r\n", "bad_request"),
    "a host for a target": (b"GET a.example:80 HTTP/1.1\r\n\r\n", "bad_request"),
    "a backslash for a slash": (b"GET \\a HTTP/1.1\r\n\r\n", "bad_request"),
    # other protocols
    "http/2 and its first frame": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", "version"),
    "a PROXY line": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + plain(b"A: b"), "unknown_method"),
    "a binary PROXY header": (
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\2" + plain(b"A: b"), "bad_request"),
    "an upgrade among others": (
        coded(b"Connection: keep-alive, upgrade\r\nUpgrade: h2c\r\nContent-Length: 2", b"hi"), "upgrade"),
}  # fmt: skip

ACCEPTED: dict[str, tuple[bytes, bytes, bytes, bytes, bool]] = {
    **{name: (data, b"POST", b"/a", body, True) for name, (data, body) in POSTS.items()},
    **{name: (data, method, target, b"", True) for name, (data, method, target) in TARGETS.items()},
    "a connection to be closed in the trailers": (
        CHUNKED + b"3\r\nabc\r\n0\r\nConnection: close\r\n\r\n", b"POST", b"/a", b"abc", False),
    "close, said otherwise": (plain(b"CONNECTION: close"), b"GET", b"/a", b"", False),
    "close and keep": (plain(b"Connection: close, keep-alive"), b"GET", b"/a", b"", False),
    "a proxy's connection": (plain(b"Proxy-Connection: close"), b"GET", b"/a", b"", False),
    "a length in 1.0": (
        b"POST /a HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", b"POST", b"/a", b"abc", False),
}  # fmt: skip
