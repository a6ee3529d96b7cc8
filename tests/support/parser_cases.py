"""Requests and what they are, for every test that feeds a parser."""

from __future__ import annotations

from tests.support import framing_cases as framing
from tests.support.parsing import GET

UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n"
CHUNKED = b"POST /c/demo HTTP/1.1\r\nX-Real-IP: 192.0.2.7\r\nTransfer-Encoding: chunked\r\n\r\n"

# name -> the bytes, then what they are: method, target, body, whether the connection is kept
ACCEPTED: dict[str, tuple[bytes, bytes, bytes, bytes, bool]] = {
    "get": (GET, b"GET", b"/c/demo?n=1", b"", True),
    "no headers at all": (b"GET / HTTP/1.1\r\n\r\n", b"GET", b"/", b"", True),
    "1.0 closes": (b"GET /a HTTP/1.0\r\n\r\n", b"GET", b"/a", b"", False),
    "1.0 keeps when asked": (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"GET", b"/a", b"", True),
    "1.1 closes when asked": (b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET", b"/a", b"", False),
    "connection in lower case": (b"GET /a HTTP/1.1\r\nconnection: CLOSE\r\n\r\n", b"GET", b"/a", b"", False),
    "head": (b"HEAD /a HTTP/1.1\r\n\r\n", b"HEAD", b"/a", b"", True),
    "an empty line first": (b"\r\n\r\nGET /a HTTP/1.1\r\n\r\n", b"GET", b"/a", b"", True),
    "a header without value": (b"GET /a HTTP/1.1\r\nReferer:\r\nHost: x\r\n\r\n", b"GET", b"/a", b"", True),
    "post": (b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"POST", b"/a", b"hello", True),
    "length in lower case": (b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi", b"POST", b"/a", b"hi", True),
    "length with a space": (b"POST /a HTTP/1.1\r\nContent-Length: 2 \r\n\r\nhi", b"POST", b"/a", b"hi", True),
    "a get with a body": (b"GET /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", b"GET", b"/a", b"hi", True),
    "a body of new lines": (
        b"POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\n\r\n\r\n\r\n", b"POST", b"/a", b"\r\n\r\n\r\n", True,
    ),
    "an empty body": (b"POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"POST", b"/a", b"", True),
    "chunked": (
        CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"POST", b"/c/demo", b"hello world", True
    ),
    "chunked, nothing in it": (CHUNKED + b"0\r\n\r\n", b"POST", b"/c/demo", b"", True),
    "chunk extensions": (
        CHUNKED + b'3;name=value\r\nabc\r\n2;q="x y"\r\nde\r\n0;last\r\n\r\n',
        b"POST", b"/c/demo", b"abcde", True,
    ),
    "trailers": (
        CHUNKED + b"3\r\nabc\r\n0\r\nX-Real-IP: 6.6.6.6\r\nContent-Type: a/b\r\n\r\n",
        b"POST", b"/c/demo", b"abc", True,
    ),
    "chunks of new lines and high bytes": (
        CHUNKED + b"4\r\n\r\n\r\n\r\n3\r\n\xd6\n\xd0\r\n0\r\n\r\n",
        b"POST", b"/c/demo", b"\r\n\r\n\xd6\n\xd0", True,
    ),
    "an absolute target": (
        b"GET http://click.example.com/c/demo?n=1 HTTP/1.1\r\n\r\n",
        b"GET", b"http://click.example.com/c/demo?n=1", b"", True,
    ),
    "options of everything": (b"OPTIONS * HTTP/1.1\r\n\r\n", b"OPTIONS", b"*", b"", True),
    "raw gbk in the query": (
        b"GET /c/demo?n=\xd6\xd0\xb9\xfa&m=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET", b"/c/demo?n=\xd6\xd0\xb9\xfa&m=1", b"", True,
    ),
    "raw utf-8 in the path": (
        "GET /c/demo/点击 HTTP/1.1\r\n\r\n".encode(), b"GET", "/c/demo/点击".encode(), b"", True,
    ),
    "raw bytes, their mark and a header with both": (
        b"GET /~a~?n=~\xd6~\xd0 HTTP/1.1\r\nUser-Agent: \xd6~x\r\nA: ~\r\n\r\n",
        b"GET", b"/~a~?n=~\xd6~\xd0", b"", True,
    ),
    "raw bytes above a body with raw bytes": (
        b"POST /\xff HTTP/1.1\r\nContent-Length: 4\r\n\r\n\xd6\n~\xd0",
        b"POST", b"/\xff", b"\xd6\n~\xd0", True,
    ),
    "raw bytes alone after the method": (
        b"GET /\xff\xfe\xfd HTTP/1.1\r\n\r\n", b"GET", b"/\xff\xfe\xfd", b"", True),
    "what platforms leave unescaped": (
        b"GET /c?m=ad:8|1_16&a={{IMEI}}&b=[TS]&c={x}&d=$im$&imei=%IMEI%&p=%zz&q=100% HTTP/1.1\r\n\r\n",
        b"GET", b"/c?m=ad:8|1_16&a={{IMEI}}&b=[TS]&c={x}&d=$im$&imei=%IMEI%&p=%zz&q=100%", b"", True,
    ),
    "a fragment": (b"GET /c?a=1#frag&b=2 HTTP/1.1\r\n\r\n", b"GET", b"/c?a=1#frag&b=2", b"", True),
    "an upgrade we do not take": (
        b"GET /a HTTP/1.1\r\n" + UPGRADE + b"\r\n", b"GET", b"/a", b"", True
    ),
    "connect": (b"CONNECT a.example:80 HTTP/1.1\r\n\r\n", b"CONNECT", b"a.example:80", b"", True),
    "expect": (
        b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        b"POST", b"/a", b"hi", True,
    ),
    "expect anything in 1.0": (b"GET /a HTTP/1.0\r\nExpect: teapot\r\n\r\n", b"GET", b"/a", b"", False),
}  # fmt: skip

# name -> the bytes, the reason
REFUSED: dict[str, tuple[bytes, str]] = {
    "both lengths": (
        b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", "bad_length"),
    "both lengths, the other way": (
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", "bad_length"),
    "a repeated length": (
        b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "bad_length"),
    "two lengths": (b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "bad_length"),
    "a list of lengths": (b"POST /a HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc", "bad_length"),
    "an empty length": (b"POST /a HTTP/1.1\r\nContent-Length:\r\n\r\n", "bad_length"),
    "a negative length": (b"POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "bad_length"),
    "a length with a sign": (b"POST /a HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", "bad_length"),
    "a length in hexadecimal": (b"POST /a HTTP/1.1\r\nContent-Length: 0x3\r\n\r\nabc", "bad_length"),
    "an endless length": (b"POST /a HTTP/1.1\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", "bad_length"),
    "another transfer encoding": (b"POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc", "bad_length"),
    "chunked not last": (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "bad_length"),
    "gzip and chunked": (CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n", "bad_length"),
    "identity and chunked": (CHUNKED.replace(b"chunked", b"identity, chunked") + b"0\r\n\r\n", "bad_length"),
    "nothing and chunked": (CHUNKED.replace(b"chunked", b", chunked") + b"0\r\n\r\n", "bad_length"),
    "chunked in 1.0": (CHUNKED.replace(b"1.1", b"1.0") + b"3\r\nabc\r\n0\r\n\r\n", "bad_length"),
    "chunked in 1.0, to be kept": (
        b"POST /a HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "bad_length"),
    "a chunk size that is none": (CHUNKED + b"zz\r\nabc\r\n", "bad_request"),
    "a chunk longer than it says": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", "bad_request"),
    "an unknown method": (b"BREW /pot HTTP/1.1\r\n\r\n", "unknown_method"),
    "a method in lower case": (b"get / HTTP/1.1\r\n\r\n", "unknown_method"),
    "a method that goes on": (b"GETT / HTTP/1.1\r\n\r\n", "unknown_method"),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "bad_request"),
    "a length in the trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n", "bad_length"),
    "binary": (b"\x00\x01\x02\xff\xfe", "bad_request"),
    "version 0.9": (b"GET /a\r\n\r\n", "version"),
    "version 1.2": (b"GET /a HTTP/1.2\r\n\r\n", "version"),
    "version 2": (b"GET /a HTTP/2.0\r\n\r\n", "version"),
    "version 3": (b"GET /a HTTP/3.0\r\n\r\n", "version"),
    "http/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"),
    "another protocol": (b"GET /a HTTX/1.1\r\n\r\n", "bad_request"),
    "a space in the target": (b"GET /a b HTTP/1.1\r\n\r\n", "bad_request"),
    "a zero byte in the target": (b"GET /a\0b HTTP/1.1\r\n\r\n", "bad_request"),
    "a zero byte behind a high one": (b"GET /a?n=\xd6\0b HTTP/1.1\r\n\r\n", "bad_request"),
    "a bare CR in the target, then a high byte": (b"GET /a\r!\xd6 HTTP/1.1\r\n\r\n", "bad_request"),
    "a tab in the target": (b"GET /a\tb HTTP/1.1\r\n\r\n", "bad_request"),
    "a target without slash": (b"GET a/b HTTP/1.1\r\n\r\n", "bad_request"),
    "a target that begins high": (b"GET \xd6/b HTTP/1.1\r\n\r\n", "bad_request"),
    "a header without colon": (b"GET /a HTTP/1.1\r\nno colon\r\n\r\n", "bad_request"),
    "a space before the colon": (b"GET /a HTTP/1.1\r\nA : b\r\n\r\n", "bad_request"),
    "a folded header": (b"GET /a HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "bad_request"),
    "a zero byte in a header": (b"GET /a HTTP/1.1\r\nA: b\0c\r\n\r\n", "bad_request"),
    "bare line feeds": (b"GET /a HTTP/1.1\nA: b\n\n", "bad_request"),
    "an expectation we know nothing of": (
        b"POST /a HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\nhi", "expectation"),
    "an upgrade with a body": (
        b"POST /a HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 2\r\n\r\nhi", "upgrade"),
    "an upgrade with a body, spelled otherwise": (
        b"POST /a HTTP/1.1\r\nCONNECTION: upgrade\r\nUPGRADE: h2c\r\nContent-Length: %d\r\n\r\n%s"
        % (len(GET), GET), "upgrade"),
    "connect with a body": (
        b"CONNECT a.example:80 HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(GET), GET), "upgrade"),
    "an upgrade with a chunked body": (
        b"POST /a HTTP/1.1\r\n" + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "upgrade"),
}  # fmt: skip

# Where a request ends: its own file, since these are many.
ACCEPTED |= framing.ACCEPTED
REFUSED |= framing.REFUSED
