"""A sandbox server in a thread of the test process."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from kedro_databricks_hybrid.sandbox.app import create_app

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from kedro_databricks_hybrid.sandbox.app import Sandbox


class _Server(uvicorn.Server):
    """A server that stops at once; uvicorn's own checks only ten times a second."""

    _stopping: asyncio.Event
    _loop: asyncio.AbstractEventLoop

    def stop_soon(self) -> None:
        """Let the server stop; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        self._stopping, self._loop = asyncio.Event(), asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        """Serve until `stop_soon` is called; each second, `on_tick` renews the Date header."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        while not stopping.done():
            await self.on_tick(0)
            await asyncio.wait([stopping], timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the connections, wait for running requests, and end the application."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            await asyncio.wait_for(self._without_requests(), _GRACE_SECONDS)
        except asyncio.TimeoutError:
            for request in self.server_state.tasks:
                request.cancel()
        await self.lifespan.shutdown()

    async def _without_requests(self) -> None:
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.002)


@dataclass
class ServerThread:
    """A server that runs until it is stopped."""

    server: _Server
    thread: threading.Thread

    def stop(self) -> None:
        """Stop the server and wait for its thread."""
        self.server.stop_soon()
        self.thread.join(timeout=20)
        assert not self.thread.is_alive(), "the server did not stop"


_GRACE_SECONDS = 2


def serve(sandbox: Sandbox, app: ASGIApp | None = None, **tls: str) -> ServerThread:
    """Serve a sandbox, or an app that wraps it, and return when it accepts connections.

    Args:
        sandbox: The sandbox, which gets the server's address.
        app: What answers; by default the sandbox's own application.
        tls: uvicorn's `ssl_certfile` and `ssl_keyfile`; none to serve without TLS.
    """
    # asyncio disables Nagle's algorithm (40 ms an answer) only on a socket created with its protocol
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(100)
    sandbox.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        app or create_app(sandbox),
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="on",
        **tls,  # type: ignore[arg-type]
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    return ServerThread(server, thread)
