"""One address for REST and for Databricks Connect: a connection that begins with TLS is gRPC.

Databricks Connect requires TLS, so the sandbox makes a certificate.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from kedro_databricks_hybrid.sandbox.connect.servers import ConnectServers
from kedro_databricks_hybrid.sandbox.core.atomic import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    import grpc.aio
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.connect.proxy import ConnectProxy
    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

PATH = "/sandbox/connect"
_TLS_HANDSHAKE = 0x16
CERTIFICATE_FILE = "connect.pem"
_CERTIFICATE_DAYS = 365


class Connect:
    """Databricks Connect for one sandbox; gRPC, which is slow to import, starts with the first client."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._servers = ConnectServers(sandbox)
        self._lock = asyncio.Lock()
        self._port = self._plain_port = 0
        self._proxy: ConnectProxy | None = None
        self._server: grpc.aio.Server | None = None

    async def port(self) -> int:
        """Return the port on 127.0.0.1 that serves gRPC with TLS; start the server for the first caller."""
        async with self._lock:
            if not self._port:
                certificate = await asyncio.to_thread(make_certificate, self._sandbox.layout.home)
                connect_proxy = await asyncio.to_thread(_load_proxy)
                self._proxy = connect_proxy.ConnectProxy(self._sandbox, self._servers)
                self._server, self._port, self._plain_port = await connect_proxy.serve(
                    self._proxy, certificate.key, certificate.certificate
                )
        return self._port

    async def open_task(self, environment: NotebookEnvironment, variables: dict[str, str]) -> str:
        """Return the SPARK_REMOTE of a task on serverless compute; its server starts with the first call.

        Args:
            environment: The environment of the task, in which its server runs too.
            variables: The environment variables of the server.
        """
        await self.port()
        self._servers.add_task(environment, variables)
        # without TLS, PySpark sends a token only to a server on `localhost`
        return f"sc://localhost:{self._plain_port}/;token={environment.access.token}"

    async def close_task(self, environment: NotebookEnvironment) -> None:
        """End the Spark Connect server of a task."""
        await self._servers.end_task(environment)

    async def close(self) -> None:
        """Stop the servers."""
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
        path = self._sandbox.layout.home / CERTIFICATE_FILE
        return JSONResponse({"certificate": str(path)})

    def protocol(self) -> type[H11Protocol]:
        """Return the protocol class with which uvicorn serves a connection."""
        connect = self

        class TlsSwitch(H11Protocol):
            """HTTP, unless the first byte begins a TLS handshake: then gRPC gets the whole connection."""

            _is_first = True

            def data_received(self, data: bytes) -> None:
                if self._is_first and data[:1] == bytes([_TLS_HANDSHAKE]):
                    self.connections.discard(self)
                    self._unset_keepalive_if_required()
                    _forward(connect, self.transport, data)
                    return
                self._is_first = False
                super().data_received(data)

        return TlsSwitch


class _Half(asyncio.Protocol):
    """One of two connections that each send what the other receives."""

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


def _forward(connect: Connect, client: asyncio.Transport, first: bytes) -> None:
    """Connect a client to the gRPC server, beginning with the bytes received so far."""
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
    from kedro_databricks_hybrid.sandbox.connect import proxy

    return proxy


class Certificate(NamedTuple):
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


def make_certificate(home: Path) -> Certificate:
    """Make a certificate for this machine and write it to the sandbox's home, without its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kedro-databricks sandbox")])
    now = dt.datetime.now(dt.timezone.utc)
    hosts = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    write_atomically(home / CERTIFICATE_FILE, pem)
    return Certificate(
        pem,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
