"""A request, and the exchange that it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestd.event import Entry

if TYPE_CHECKING:
    from ingestd.http.connection import Connection
    from ingestd.http.responses import Replies, Reply


class Headers(dict[bytes, bytes]):
    """Header values under the names as they came; of a repeated header the last value.

    nginx writes the names it is told to in one spelling, so a plain look-up finds them; `find` is for
    a name a client may have spelled otherwise.
    """

    __slots__ = ()

    def find(self, name: bytes) -> bytes | None:
        """The value of a header whatever its spelling; `name` in its usual spelling."""
        value = self.get(name)
        if value is None:
            size, wanted = len(name), name.lower()
            for key in self:
                if len(key) == size and key.lower() == wanted:
                    return self[key]
        return value


class Request:
    """One request on its way from the parser to its source.

    Each stage fills in its part, in this order:

    - The parser: `method`, `target`, `headers` and `body` as received, and `keep`: the client keeps the
      connection open.
    - The router: `path` and `route` as text, each character one byte (ISO-8859-1), and `query`, the raw bytes
      after `?`.
    - The intake: `client_ip`, and `received_ns`, nanoseconds since the epoch.
    - The source, which may rewrite all of that for privacy: `forwarded` and `agent`, the headers
      X-Forwarded-For and User-Agent.

    A parser fills the same object again for the next request: it is valid only while it is being handed
    over. The Exchange has all that is kept.
    """

    __slots__ = (
        "agent", "body", "client_ip", "forwarded", "headers", "keep", "method", "path", "query",
        "received_ns", "route", "target",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, headers: Headers, body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.keep = False
        self.received_ns = 0
        self.path = self.route = self.client_ip = ""
        self.query = self.forwarded = self.agent = b""

    def header(self, name: bytes) -> bytes:
        """The value of a header, b"" without it. `name` in the spelling that nginx uses."""
        return self.headers.get(name) or self.headers.find(name) or b""

    def copy(self) -> Request:
        """The request as an object of its own, which stays valid."""
        copied = Request(self.method, self.target, Headers(self.headers), self.body)
        copied.keep, copied.received_ns = self.keep, self.received_ns
        copied.path, copied.route, copied.client_ip = self.path, self.route, self.client_ip
        copied.query, copied.forwarded, copied.agent = self.query, self.forwarded, self.agent
        return copied

    def clear(self) -> None:
        """Release the input, so that an idle connection holds none of it."""
        self.headers.clear()
        self.target = self.query = self.body = self.forwarded = self.agent = b""
        self.path = self.route = self.client_ip = ""


class Exchange(Entry):
    """A request that waits for its reply. If it becomes events it is also the entry that the buffer carries.

    `keep`: the client keeps the connection open. `head`: it wants no body (HEAD). `replies`: the source's.
    `out`: the reply's bytes once it is known, until then None. No __init__: a call for each request.
    """

    __slots__ = ("connection", "head", "keep", "out", "replies")

    connection: Connection
    head: bool
    keep: bool
    out: bytes | None
    replies: Replies

    def answer(self, reply: Reply) -> None:
        """Fix the reply; it leaves as soon as the earlier ones have left."""
        connection = self.connection
        due = connection.due
        if (
            len(due) == 1
            and due[0] is self
            and self.keep
            and not (self.head or connection.draining or connection.parser.ended or connection.eof)
            and connection.reading
        ):  # nearly always: no other reply is due, and nothing is to be done after this one
            due.clear()
            self.out = out = reply.keep
            connection.transport.write(out)  # type: ignore[union-attr]
            return
        keep = self.keep and not (connection.draining and connection.is_last(self))
        self.out = reply.form(head=self.head, keep_alive=keep)
        if not keep:
            connection.parser.ended = True
        connection.send_ready()

    def stalled(self) -> None:
        """Answer that storage is stalled; whether the events are stored is not known yet."""
        if self.out is None:
            self.answer(self.replies.refusals["stalled"])

    def settle(self, refused: str | None) -> None:
        """Answer, unless that was done: success if the events are stored, the source's refusal if not."""
        replies = self.replies
        if refused is not None and replies.undo is not None:
            replies.undo()
        if self.out is None:
            self.answer(replies.stored if refused is None else replies.refusals[refused])
