"""Over TCP a request says which host it is for, once (RFC 9112, 3.2); nginx has checked that for its own."""

from __future__ import annotations

import pytest

from ingestd.errors import RequestRefusedError
from tests.support.parsing import CUTS, Cut, Recorder

HOST = b"Host: x\r\n"
GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
TAKEN = {
    "one": GET,
    "one, in lower case": GET.replace(b"Host", b"host"),
    "an empty one": b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "HTTP/1.0 without one": b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "one, and the name in the target": GET.replace(b"/a", b"/a?\nhost:".replace(b"\n", b"%0A")),
    "one, and the name in the body": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 7\r\n\r\n\nHost: ",
    "one, and another in the trailers": b"POST /a HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nHost: y\r\n\r\n",
    "one, and headers like it": GET.replace(HOST, HOST + b"X-Host: y\r\nHosts: y\r\n"),
}
REFUSED = {
    "none": GET.replace(HOST, b""),
    "two": GET.replace(HOST, HOST * 2),
    "two, spelled differently": GET.replace(HOST, HOST + b"HOST: x\r\n"),
    "two, in HTTP/1.0": GET.replace(HOST, HOST * 2).replace(b"1.1", b"1.0"),
    "only one in the body": b"POST /a HTTP/1.1\r\nContent-Length: 7\r\n\r\n\nHost: ",
    "none, and a target above 127": GET.replace(HOST, b"").replace(b"/a", b"/\xd6"),
}


def outcome(data: bytes, cut: Cut, *, tcp: bool) -> tuple[int, str | None]:
    recorder = Recorder()
    if tcp:
        recorder.parser.want_one_host()
    else:
        recorder.parser.take_any_value()
    try:
        for piece in cut(data):
            recorder.feed(piece)
    except RequestRefusedError as error:
        return len(recorder.requests), error.reason
    return len(recorder.requests), None


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", TAKEN)
def test_one_host_is_enough(case: str, cut: Cut) -> None:
    assert outcome(GET + TAKEN[case] + GET, cut, tcp=True) == (3, None)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", REFUSED)
def test_none_or_two_are_refused_over_tcp(case: str, cut: Cut) -> None:
    assert outcome(REFUSED[case], cut, tcp=True) == (0, "host")
    assert outcome(GET + REFUSED[case] + GET, cut, tcp=True) == (1, "host")
    assert outcome(REFUSED[case], cut, tcp=False) == (1, None)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize(
    "data", [b"GET /a\r\n\r\n", b"GET /a HTTP/0.9\r\nHost: x\r\n\r\n", b"GET /a\n", b"GET /a?b=c \r\n\r\n"]
)
def test_http_0_9_is_not_a_request(data: bytes, tcp: bool, cut: Cut) -> None:
    requests, reason = outcome(data + GET, cut, tcp=tcp)
    assert (requests, reason in ("version", "bad_request")) == (0, True)
