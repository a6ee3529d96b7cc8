"""A bug in a callback of httptools looks like the client's malformed request.

It leaves feed_data as HttpParserCallbackError, a subclass of HttpParserError, with the real exception only in
__context__. Caught as HttpParserError it would be answered 400. ingestd looks at __context__ first.
"""

import httptools


class Callbacks:
    def on_url(self, url: bytes) -> None:
        raise ZeroDivisionError("a bug of ours")


try:
    httptools.HttpRequestParser(Callbacks()).feed_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
except httptools.HttpParserError as error:
    print("raised:", type(error).__name__, "| is an HttpParserError | __context__:", repr(error.__context__))
