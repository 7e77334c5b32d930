"""Inject faults between the client and the API.

A stale read repeats an answer from before the last write.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from kedro_databricks_hybrid.sandbox.faults.rules import Fault, Faults

CONTROL_PATH = "/sandbox/"
"""The routes that control the sandbox; no fault affects them."""

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
_NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER that turns a close into a reset
_READS = {"GET", "HEAD"}
_KEPT_READS = 1000

_Key = tuple[str, str, bytes, bytes]


class FaultsGate:
    """Answers requests, with the effects of the rules that apply to them.

    Args:
        app: The application behind.
        faults: The rules.
        actions: The functions to call for effects on clusters and contexts, by effect.
    """

    def __init__(
        self, app: ASGIApp, faults: Faults, actions: Mapping[str, Callable[[], Awaitable[None]]]
    ) -> None:
        self._app = app
        self._faults = faults
        self._actions = actions
        self._replica = Replica(faults)
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with a fault or without."""
        faults = self._faults
        if not faults.rules or scope["type"] != "http" or scope["path"].startswith(CONTROL_PATH):
            await self._app(scope, receive, send)
            return
        token = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        found = faults.struck(scope["method"], scope["path"], has_token=bool(token))
        struck = {fault.effect: fault for fault in found}
        if "expire-token" in struck:
            faults.expired.add(token)
        if token in faults.expired:
            await ApiError(403, "403", "Invalid access token.").response()(scope, receive, send)
            return
        if "delay" in struck:
            await asyncio.sleep(struck["delay"].seconds)
        await self._answer(struck, scope, receive, send)
        for effect in self._actions.keys() & struck.keys():
            task = asyncio.create_task(self._act(struck[effect]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

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

    async def _act(self, fault: Fault) -> None:
        await asyncio.sleep(fault.seconds)
        _LOG.info("Fault %s takes effect: %s", fault.number, fault.effect)
        await self._actions[fault.effect]()


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
    """Send the headers of an answer and half of its body, then close the connection."""
    content = b"".join(message.get("body", b"") for message in answer)
    await send(answer[0])
    await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
    await _close(receive, reset=False)


async def _close(receive: Receive, *, reset: bool) -> None:
    """Close the client's connection, through uvicorn's transport: ASGI has no message for it."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if not isinstance(transport, asyncio.Transport):
        raise TypeError("Connections can be closed under uvicorn only.")
    if reset:
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


class Replica:
    """Keeps the answers of reads, and repeats them after a write as often as a rule says."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._answers: dict[_Key, list[Message]] = {}
        self._writes = 0
        self._behind: dict[tuple[int, _Key], tuple[int, int]] = {}  # the write, stale reads since

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with an older answer if a rule says so."""
        rules = [fault for fault in self._faults.rules if fault.effect == "stale"]
        if not rules or scope["method"] not in _READS:
            self._writes += bool(rules)
            await app(scope, receive, send)
            return
        key = _read_key(scope)
        rule = next((rule for rule in rules if rule.matches(scope["method"], scope["path"])), None)
        if rule is None:
            await app(scope, receive, send)
        elif self._is_behind(rule, key):
            await self._repeat(key, scope, receive, send)
        else:
            await self._read(key, app, scope, receive, send)

    def _is_behind(self, rule: Fault, key: _Key) -> bool:
        rule.calls += 1
        write, reads = self._behind.get((rule.number, key), (0, 0))
        reads = reads if write == self._writes else 0
        if self._writes == 0 or (rule.times and reads >= rule.times):
            return False
        self._behind[rule.number, key] = self._writes, reads + 1
        rule.struck += 1
        return True

    async def _repeat(self, key: _Key, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answers.get(key)
        if answer is None:
            await missing("The object does not exist (yet).").response()(scope, receive, send)
            return
        for message in answer:
            await send(message)

    async def _read(self, key: _Key, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append({**message, "headers": list(message.get("headers", []))})
            await send(message)

        await app(scope, receive, keep)
        self._answers[key] = answer
        while len(self._answers) > _KEPT_READS:
            del self._answers[next(iter(self._answers))]


def _read_key(scope: Scope) -> _Key:
    token = dict(scope["headers"]).get(b"authorization", b"")
    return scope["method"], scope["path"], scope["query_string"], token
