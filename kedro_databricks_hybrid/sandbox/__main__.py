"""`python -m kedro_databricks_hybrid.sandbox`: serve one sandbox in the foreground."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.sandbox.app import create_app
from kedro_databricks_hybrid.sandbox.connection import Connection
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from kedro_databricks_hybrid.sandbox.core.server_log import log_to
from kedro_databricks_hybrid.sandbox.core.users import DEFAULT_USER
from kedro_databricks_hybrid.sandbox.core.workspace_kinds import KINDS
from kedro_databricks_hybrid.sandbox.kernel import kinds
from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEEP_ALIVE_SECONDS = 75  # clients reuse connections, and must retry a request whose connection closes
_GRACE_SECONDS = 3  # for running requests when the server is told to stop


class StartError(Exception):
    """The server cannot start; the message is one line for the user."""


@dataclass(frozen=True)
class WorkspaceOptions:
    """The options of a start that describe the workspace.

    Attributes:
        user: The name of the user that it has from the start.
        like: The kind of workspace, one of KINDS; None for that of the last start.
        kernels: The kind of its kernels, one of `kinds.KINDS`; None for what this machine allows.
    """

    user: str
    like: str | None
    kernels: str | None


class AnnouncingServer(uvicorn.Server):
    """A server that writes the connection file once it accepts connections."""

    def __init__(self, config: uvicorn.Config, announced: Connection) -> None:
        super().__init__(config)
        self._announced = announced

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then write the connection file."""
        await super().startup(sockets)
        if self.started:
            connection.write(self._announced)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status, 1 if the server cannot start."""
    options = _parse(arguments)
    try:
        workspace = WorkspaceOptions(options.user, options.like, options.kernels)
        serve(options.home or connection.default_home(), options.host, options.port, workspace)
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def serve(home: Path, host: str, port: int, options: WorkspaceOptions) -> None:
    """Serve the sandbox in `home` until the process is told to stop.

    Raises:
        StartError: The host is not this machine, the port or the home is in use, the state is damaged, or
            this machine does not allow the requested kind of kernels.
    """
    address = _loopback(host)
    if options.kernels and kinds.chosen(options.kernels).refusal:
        raise StartError(kinds.chosen(options.kernels).refusal)
    os.umask(0o077)
    layout = Layout(home.expanduser().absolute())
    try:
        layout.make()
    except OSError as error:
        msg = f"Cannot use {layout.home} as a sandbox home: {error.strerror}."
        raise StartError(msg) from error
    lock = connection.acquire_home(layout.home)
    if lock is None:
        running = connection.read(layout.home)
        where = f" at {running.host} (process {running.pid})" if running else ""
        msg = f"A sandbox already runs in {layout.home}{where}."
        raise StartError(msg)
    try:
        _serve(layout, address, port, options)
    finally:
        connection.remove(layout.home)
        lock.release()


def _serve(layout: Layout, address: str, port: int, options: WorkspaceOptions) -> None:
    connection.remove(layout.home)
    log_to(layout.log)
    try:
        sandbox = Sandbox(layout, user=options.user, like=options.like, kernels=options.kernels)
        app = create_app(sandbox)
    except ValueError as error:
        raise StartError(str(error)) from error
    listener = _listen(address, port, sandbox.port)
    port = listener.getsockname()[1]
    sandbox.port = port
    sandbox.url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    user, kernel_kind = sandbox.user, _kernel_kind(options.kernels)
    announced = Connection(sandbox.url, user.token, user.name, os.getpid(), layout.home, kernel_kind)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        loop="asyncio",
        http=app.state.connect.protocol(),
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    # After its shutdown uvicorn raises the signal that ended it again; ignore it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        AnnouncingServer(config, announced).run(sockets=[listener])
    finally:
        listener.close()


def _kernel_kind(requested: str | None) -> str:
    """Return the kind of kernels that is used; if none can run, log the reason."""
    kernels = kinds.chosen(requested)
    if kernels.refusal:
        logging.getLogger(__name__).warning("No notebook can run: %s", kernels.refusal)
        return connection.NO_KERNELS
    return kernels.kind


def _listen(address: str, port: int, last_port: int) -> socket.socket:
    """Return a listening socket on `port`; for 0 on the last port, or a free one if that is in use."""
    for candidate in [port] if port else [last_port, 0]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        # asyncio disables Nagle's algorithm only on a socket created with its protocol
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, candidate))
            listener.listen(512)
        except OSError:
            listener.close()
            continue
        return listener
    msg = f"Port {port} on {address} is in use or not allowed; choose another one, or 0 for a free one."
    raise StartError(msg)


def _loopback(host: str) -> str:
    name = "127.0.0.1" if host == "localhost" else host
    try:
        local = ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = False
    if not local:
        msg = f"The sandbox listens on this machine only (127.0.0.1), not on {host}."
        raise StartError(msg)
    return name


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kedro_databricks_hybrid.sandbox",
        description="Serve a Databricks workspace on this machine.",
    )
    parser.add_argument("--home", type=Path, help="the folder of its files (default: per user)")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 for the port of the last start, or a free one")
    parser.add_argument("--kernels", choices=kinds.KINDS, help="default: what this machine allows")
    parser.add_argument("--user", default=DEFAULT_USER, help="the name of the workspace's user")
    parser.add_argument("--like", choices=KINDS, help="the kind of workspace (default: the last one)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
