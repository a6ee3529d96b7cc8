"""httptools refuses a request target with bytes above 127.

Platforms send them (raw GBK), and nginx passes them on. ingestd marks these bytes before the parser sees the
request line: ingestd/http/raw_target.py.
"""

import httptools

REQUEST = b"GET /c/demo?name=%b HTTP/1.1\r\nHost: a\r\n\r\n"

for value in (b"abc", "你好".encode("gbk")):
    try:
        httptools.HttpRequestParser(object()).feed_data(REQUEST % value)
        print(value, "is taken")
    except httptools.HttpParserError as error:
        print(value, "is refused:", type(error).__name__, error)
