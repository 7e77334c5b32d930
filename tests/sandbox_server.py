"""A sandbox server in a thread of the tests' own process."""

from __future__ import annotations

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


@dataclass
class ServerThread:
    """A server that runs until it is stopped."""

    server: uvicorn.Server
    thread: threading.Thread

    def stop(self) -> None:
        """End the server and wait for it."""
        self.server.should_exit = True
        self.thread.join(timeout=20)
        assert not self.thread.is_alive(), "the server did not end"


def serve(sandbox: Sandbox, app: ASGIApp | None = None) -> ServerThread:
    """Serve a sandbox, or what is wrapped around it, and return once it accepts connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    sandbox.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        app or create_app(sandbox),
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=2,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    return ServerThread(server, thread)
