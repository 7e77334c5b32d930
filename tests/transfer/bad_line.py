"""A proxy to a server on this machine that can lose, delay, refuse and cut off requests and answers.

It parses just enough HTTP/1.1 to know where a request ends and an answer begins. Each request gets a
separate connection to the server, with `Connection: close`.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PIECE = 65536


@dataclass
class Request:
    """One incoming request.

    Args:
        number: Counts from 1.
        line: Such as `POST /api/2.0/dbfs/put HTTP/1.1`.
        headers: Its headers, with names in lower case.
    """

    number: int
    line: str
    headers: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def method(self) -> str:
        """The method."""
        return self.line.split(" ", 1)[0]

    @property
    def path(self) -> str:
        """The path without its query."""
        return self.line.split(" ")[1].partition("?")[0]


RESET_BEFORE = "reset before"
RESET_AFTER = "reset after"
CUT = "cut"
Fault = str | int | None
"""RESET_BEFORE or RESET_AFTER the server has handled the request, CUT the answer short, or an HTTP status."""


class BadLine:
    """A proxy to a port of this machine.

    Args:
        port: The server's port.
        delay: Seconds added to every request.

    Attributes:
        fault: Returns the fault of a request, before anything else is done with it.
        after: Called when the server has handled a request, before the client gets the answer.
        rewrite: Returns the body that the client gets, from that of the server's answer; None passes it on.
        retry_after: The Retry-After header of the proxy's own answers.
        says: The body of the proxy's own answers.
        requests: All requests since the last `forget`.
        most_at_once: The most requests at the same time.
    """

    def __init__(self, port: int, delay: float = 0.0) -> None:
        self._port = port
        self.delay = delay
        self.fault: Callable[[Request], Fault] = lambda _: None
        self.after: Callable[[Request], None] = lambda _: None
        self.rewrite: Callable[[Request, bytes], bytes] | None = None
        self.retry_after = "1"
        self.says = b'{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"Slow down."}'
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # close() would leave the thread waiting in accept()
        self._listener.close()

    def forget(self) -> None:
        """Forget all requests, and remove all faults."""
        self.requests.clear()
        self.fault = lambda _: None
        self.after = lambda _: None
        self.rewrite = None
        self.most_at_once = 0

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as incoming:
            while first := incoming.readline():
                headers: list[bytes] = []
                while (header := incoming.readline()) not in {b"\r\n", b""}:
                    headers.append(header)
                with self._lock:
                    words = first.decode("latin-1").strip()
                    request = Request(len(self.requests) + 1, words, _fields(headers))
                    self.requests.append(request)
                    self._at_once += 1
                    self.most_at_once = max(self.most_at_once, self._at_once)
                if not self._answer(connection, incoming, first, headers, request):
                    return

    def _answer(
        self,
        connection: socket.socket,
        incoming: BinaryIO,
        first: bytes,
        headers: list[bytes],
        request: Request,
    ) -> bool:
        if self.delay:
            time.sleep(self.delay)
        fault = self.fault(request)
        if fault == RESET_BEFORE:
            self._leave()
            return _reset(connection)
        if isinstance(fault, int):
            for _ in _body(incoming, headers):
                pass
            self._leave()
            text = self.says
            head = (
                f"HTTP/1.1 {fault} No\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
                f"Retry-After: {self.retry_after}\r\n\r\n"
            )
            connection.sendall(head.encode() + (b"" if request.method == "HEAD" else text))
            return True
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            kept = [header for header in headers if not header.lower().startswith(b"connection:")]
            server.sendall(first + b"".join(kept) + b"Connection: close\r\n\r\n")
            for piece in _body(incoming, headers):
                server.sendall(piece)
            return self._pass_back(connection, server, fault, request)

    def _pass_back(
        self, connection: socket.socket, server: socket.socket, fault: Fault, request: Request
    ) -> bool:
        """Return the server's answer; it ends when the server closes the connection."""
        first = server.recv(_PIECE)
        self.after(request)
        self._leave()  # before the client gets the answer and can send the next request
        if fault in {RESET_AFTER, CUT} or self.rewrite:
            whole = first
            while piece := server.recv(_PIECE):
                whole += piece
            if fault is None and (rewrite := self.rewrite):
                connection.sendall(_with_body(whole, lambda body: rewrite(request, body)))
                return True
            if fault == CUT and not whole.partition(b"\r\n\r\n")[2]:
                whole = b""
            if fault == CUT and whole:
                connection.sendall(whole[:-1])
                connection.close()
                return False
            return _reset(connection)
        connection.sendall(first.replace(b"connection: close\r\n", b"", 1))
        while piece := server.recv(_PIECE):
            connection.sendall(piece)
        return True

    def _leave(self) -> None:
        with self._lock:
            self._at_once -= 1


def _with_body(answer: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
    """Return an answer with another body; one without a length has no body to rewrite."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line.lower() != b"connection: close"]
    for number, line in enumerate(lines):
        if line.lower().startswith(b"content-length:") and body:
            body = rewrite(body)
            lines[number] = b"content-length: %d" % len(body)
    return b"\r\n".join([*lines, b"", body])


def _fields(headers: list[bytes]) -> dict[str, str]:
    pairs = (header.decode("latin-1").partition(":") for header in headers)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(incoming: BinaryIO, headers: list[bytes]) -> Iterator[bytes]:
    fields = _fields(headers)
    left = int(fields.get("content-length", 0))
    while left:
        piece = incoming.read(min(left, _PIECE))
        if not piece:
            raise ConnectionResetError
        left -= len(piece)
        yield piece
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while True:
            size = incoming.readline()
            yield size + incoming.read(int(size, 16) + 2)
            if int(size, 16) == 0:
                return


def _reset(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
    return False
