"""Where faults happen: between the client and the API."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.answers import ApiError
from kedro_databricks_hybrid.sandbox.faults_stale import Replica

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from kedro_databricks_hybrid.sandbox.faults import Fault, Faults

CONTROL_PATH = "/sandbox/"
"""The sandbox's own routes, which are never struck."""

_LOG = logging.getLogger(__name__)
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_IMMEDIATELY = struct.pack("ii", 1, 0)  # SO_LINGER that makes a close a reset


class FaultsGate:
    """Passes requests on, but for those that a rule strikes.

    Args:
        app: What answers.
        faults: The rules.
        accidents: What befalls clusters and contexts, by effect.
    """

    def __init__(
        self, app: ASGIApp, faults: Faults, accidents: Mapping[str, Callable[[], Awaitable[None]]]
    ) -> None:
        self._app = app
        self._faults = faults
        self._accidents = accidents
        self._replica = Replica(faults)
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or fail to."""
        faults = self._faults
        if not faults.rules or scope["type"] != "http" or scope["path"].startswith(CONTROL_PATH):
            await self._app(scope, receive, send)
            return
        struck = {fault.effect: fault for fault in faults.struck(scope["method"], scope["path"])}
        token = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if "expire-token" in struck:
            faults.expired.add(token)
        if token in faults.expired:
            await ApiError(403, "403", "Invalid access token.").response()(scope, receive, send)
            return
        if "delay" in struck:
            await asyncio.sleep(struck["delay"].seconds)
        await self._answer(struck, scope, receive, send)
        for effect in self._accidents.keys() & struck.keys():
            task = asyncio.create_task(self._happen(struck[effect]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, struck: dict[str, Fault], scope: Scope, receive: Receive, send: Send) -> None:
        if "reset-before" in struck:
            await _close(receive, reset=True)
        elif "status" in struck:
            await _refuse(struck["status"], scope, receive, send)
        elif "reset-after" in struck:
            await self._app(scope, receive, _into([]))
            await _close(receive, reset=True)
        elif "truncate" in struck:
            answer: list[Message] = []
            await self._app(scope, receive, _into(answer))
            await _send_half(answer, receive, send)
        else:
            await self._replica.answer(self._app, scope, receive, send)

    async def _happen(self, fault: Fault) -> None:
        await asyncio.sleep(fault.seconds)
        _LOG.info("Fault %s happens: %s", fault.number, fault.effect)
        await self._accidents[fault.effect]()


async def _refuse(fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    code = _CODES.get(fault.status, "UNKNOWN")
    response = ApiError(fault.status, code, fault.message).response()
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    await response(scope, receive, send)


def _into(answer: list[Message]) -> Send:
    async def send(message: Message) -> None:
        answer.append(message)

    return send


async def _send_half(answer: list[Message], receive: Receive, send: Send) -> None:
    """Send the head of an answer and half of its body, then close the connection."""
    content = b"".join(message.get("body", b"") for message in answer)
    await send(answer[0])
    await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
    await _close(receive, reset=False)


async def _close(receive: Receive, *, reset: bool) -> None:
    """Close the client's connection, which ASGI has no word for: uvicorn's own transport is taken."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if not isinstance(transport, asyncio.Transport):
        raise TypeError("Connections can be closed under uvicorn only.")
    if reset:
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _IMMEDIATELY)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
