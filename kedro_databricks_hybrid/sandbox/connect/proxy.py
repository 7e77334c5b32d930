"""The service of Databricks Connect: authorizes a call and forwards it to a Spark Connect server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from kedro_databricks_hybrid.sandbox.connect import serverless_limits
from kedro_databricks_hybrid.sandbox.connect.protobuf_wire import field, fields
from kedro_databricks_hybrid.sandbox.connect.servers import SERVERLESS, ConnectServer, ConnectServerError
from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.guesses import (
    CONNECT_STOPPED_CLUSTER,
    CONNECT_UNKNOWN_CLUSTER,
    NO_COMPUTE,
    TWO_COMPUTES,
)
from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime, runtime_version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from kedro_databricks_hybrid.sandbox.connect.servers import ConnectServers
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_LOG = logging.getLogger(__name__)
_SERVICE = "/spark.connect.SparkConnectService/"
_ANALYZE = f"{_SERVICE}AnalyzePlan"
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

_NO_CREDENTIAL = "Credential was not sent or was of an unsupported type for this API."
_BAD_TOKEN = "Invalid access token."  # noqa: S105 - a message

_CLUSTER_HEADER = "x-databricks-cluster-id"
_SESSION_HEADER = "x-databricks-session-id"

# The protobuf numbers of AnalyzePlanResponse.spark_version and of dbr_version in it, which Databricks added.
_SPARK_VERSION_FIELD = 8
_DBR_VERSION_FIELD = 800


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """The error that a caller gets instead of an answer."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConnectProxy(grpc.GenericRpcHandler):  # type: ignore[misc, unused-ignore]
    """Forwards the bytes of each call that comes from a user and names a compute."""

    def __init__(self, sandbox: Sandbox, servers: ConnectServers) -> None:
        self._sandbox = sandbox
        self._servers = servers
        self._channels: dict[int, grpc.aio.Channel] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return the handler of a method; on the wire every kind of method is two streams."""
        method = handler_call_details.method
        if not method.startswith(_SERVICE):
            return None

        async def forward(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:  # noqa: ANN401
            try:
                server, runtime = await self._admitted(dict(context.invocation_metadata() or ()))
                if server.is_serverless:
                    first = serverless_limits.admitted(
                        method.removeprefix(_SERVICE), await anext(aiter(requests))
                    )
                    requests = _beginning_with(first, requests)
            except Refusal as refusal:
                await context.abort(refusal.code, str(refusal))
                return
            except serverless_limits.LimitError as limit:
                details = (("grpc-status-details-bin", limit.details()),)
                await context.abort(grpc.StatusCode.INTERNAL, str(limit), details)
                return
            call = self._channel(server).stream_stream(method)(
                requests,
                timeout=context.time_remaining(),
                metadata=(("authorization", f"Bearer {server.token}"),),
            )
            try:
                async for answer in call:
                    yield _with_runtime(answer, runtime) if method == _ANALYZE else answer
            except grpc.aio.AioRpcError as error:
                await context.abort(
                    error.code(), error.details() or "", tuple(error.trailing_metadata() or ())
                )

        return grpc.stream_stream_rpc_method_handler(forward)

    async def close(self) -> None:
        """Close the channels to the servers."""
        for channel in self._channels.values():
            await channel.close()

    async def _admitted(self, headers: dict[str, Any]) -> tuple[ConnectServer, str]:
        """Return the server for a call, and the key of its runtime.

        Raises:
            Refusal: The call is not authorized, or names no compute that runs.
        """
        if self._servers.is_task(token := _token(headers)):
            return await self._started(self._servers.of_task(token)), nearest_runtime()
        user = self._user(headers)
        cluster_id, session = headers.get(_CLUSTER_HEADER), headers.get(_SESSION_HEADER)
        if cluster_id and session:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, TWO_COMPUTES)
        if not cluster_id and not session:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, NO_COMPUTE)
        runtime = self._runtime(cluster_id) if cluster_id else nearest_runtime()
        server = self._servers.server(cluster_id or SERVERLESS, user, runtime_version(runtime))
        return await self._started(server), runtime

    @staticmethod
    async def _started(starting: Awaitable[ConnectServer]) -> ConnectServer:
        try:
            return await starting
        except ConnectServerError as error:
            raise Refusal(grpc.StatusCode.INTERNAL, str(error)) from error

    def _user(self, headers: dict[str, Any]) -> User:
        token = _token(headers)
        if not token:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, _NO_CREDENTIAL)
        user = self._sandbox.user_of(token)
        if user is None:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, _BAD_TOKEN)
        return user

    def _runtime(self, cluster_id: str) -> str:
        try:
            cluster = self._sandbox.clusters.get(cluster_id)
        except ApiError:
            raise Refusal(grpc.StatusCode.NOT_FOUND, CONNECT_UNKNOWN_CLUSTER.format(cluster_id)) from None
        if cluster.state != "RUNNING":
            message = CONNECT_STOPPED_CLUSTER.format(cluster_id, cluster.state)
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, message)
        return cluster.spark_version

    def _channel(self, server: ConnectServer) -> grpc.aio.Channel:
        if server.port not in self._channels:
            address = f"127.0.0.1:{server.port}"
            options = [*_UNLIMITED, ("grpc.enable_http_proxy", 0)]
            self._channels[server.port] = grpc.aio.insecure_channel(address, options)
        return self._channels[server.port]


def _token(headers: dict[str, Any]) -> str:
    """Return the bearer token of a call, empty for a missing one."""
    scheme, _, token = str(headers.get("authorization", "")).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _beginning_with(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in others:
        yield each


async def serve(proxy: ConnectProxy, key: bytes, certificate: bytes) -> tuple[grpc.aio.Server, int, int]:
    """Serve on two free ports of 127.0.0.1; return the server, the port with TLS and the one without."""
    server = grpc.aio.server(options=_UNLIMITED)
    server.add_generic_rpc_handlers((proxy,))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    plain = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, int(port), int(plain)


def _with_runtime(answer: bytes, runtime: str) -> bytes:
    """Add the Databricks runtime to an answer with Spark's version.

    Open-source Spark leaves it out; protobuf merges a message that comes twice.
    """
    if not any(number == _SPARK_VERSION_FIELD for number, _ in fields(answer)):
        return answer
    inner = field(_DBR_VERSION_FIELD, runtime.encode())
    return answer + field(_SPARK_VERSION_FIELD, inner)
