"""One address for REST and for Databricks Connect, as on Databricks: what begins with TLS is gRPC."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from kedro_databricks_hybrid.sandbox import connect_certificate
from kedro_databricks_hybrid.sandbox.connect_servers import ConnectServers

if TYPE_CHECKING:
    import grpc.aio
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.connect_proxy import ConnectProxy
    from kedro_databricks_hybrid.sandbox.sandbox import Sandbox

PATH = "/sandbox/connect"
_TLS_HANDSHAKE = 0x16


class Connect:
    """Databricks Connect for one sandbox; made when the first client asks, because gRPC loads slowly."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._servers = ConnectServers(sandbox)
        self._lock = asyncio.Lock()
        self._port = 0
        self._proxy: ConnectProxy | None = None
        self._server: grpc.aio.Server | None = None

    async def port(self) -> int:
        """Return the port of this machine on which gRPC is served."""
        async with self._lock:
            if not self._port:
                certificate = await asyncio.to_thread(connect_certificate.make, self._sandbox.layout.home)
                connect_proxy = await asyncio.to_thread(_load_proxy)
                self._proxy = connect_proxy.ConnectProxy(self._sandbox, self._servers)
                self._server, self._port = await connect_proxy.serve(
                    self._proxy, certificate.key, certificate.certificate
                )
        return self._port

    async def close(self) -> None:
        """End everything."""
        await self._servers.close()
        if self._server is not None and self._proxy is not None:
            await self._server.stop(None)
            await self._proxy.close()

    def routes(self) -> list[Route]:
        """Return the route that tells a client which certificate to trust."""
        return [Route(PATH, self._describe, methods=["GET"])]

    async def _describe(self, request: Request) -> Response:
        del request
        await self.port()
        place = self._sandbox.layout.home / connect_certificate.CERTIFICATE_FILE
        return JSONResponse({"certificate": str(place)})

    def protocol(self) -> type[H11Protocol]:
        """Return what uvicorn serves a connection with."""
        connect = self

        class Door(H11Protocol):
            """HTTP, unless the first byte says TLS: then the whole connection is passed on."""

            _is_first = True

            def data_received(self, data: bytes) -> None:
                if self._is_first and data[:1] == bytes([_TLS_HANDSHAKE]):
                    self.connections.discard(self)
                    self._unset_keepalive_if_required()
                    _pass_on(connect, self.transport, data)
                    return
                self._is_first = False
                super().data_received(data)

        return Door


class _Half(asyncio.Protocol):
    """One of two connections of which each gets what the other receives."""

    def __init__(self) -> None:
        self.peer: asyncio.Transport | None = None

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.peer is not None:
            self.peer.close()


def _pass_on(connect: Connect, client: asyncio.Transport, first: bytes) -> None:
    """Connect a client with the gRPC server from here on."""
    client.pause_reading()
    half = _Half()
    client.set_protocol(half)

    async def splice() -> None:
        loop = asyncio.get_running_loop()
        try:
            server, other = await loop.create_connection(_Half, "127.0.0.1", await connect.port())
        except OSError:
            client.close()
            return
        half.peer, other.peer = server, client
        server.write(first)
        client.resume_reading()

    task = asyncio.ensure_future(splice())
    half.splicing = task  # type: ignore[attr-defined]


def _load_proxy() -> Any:  # noqa: ANN401 - a module
    from kedro_databricks_hybrid.sandbox import connect_proxy

    return connect_proxy
