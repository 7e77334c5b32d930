"""Stale reads: answers as they were before the last write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.answers import missing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from kedro_databricks_hybrid.sandbox.faults import Fault, Faults

_READS = {"GET", "HEAD"}
_KEPT = 1000

_Key = tuple[str, str, bytes, bytes]


class Replica:
    """Remembers what was read, and gives it again after a write as often as a rule says."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._answers: dict[_Key, list[Message]] = {}
        self._writes = 0
        self._behind: dict[tuple[int, _Key], tuple[int, int]] = {}  # the write, stale reads since

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, from memory where a rule says so."""
        rules = [fault for fault in self._faults.rules if fault.effect == "stale"]
        if not rules or scope["method"] not in _READS:
            self._writes += bool(rules)
            await app(scope, receive, send)
            return
        key = _key(scope)
        rule = next((rule for rule in rules if rule.is_for(scope["method"], scope["path"])), None)
        if rule is None:
            await app(scope, receive, send)
        elif self._is_behind(rule, key):
            await self._repeat(key, scope, receive, send)
        else:
            await self._remember(key, app, scope, receive, send)

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

    async def _remember(self, key: _Key, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append({**message, "headers": list(message.get("headers", []))})
            await send(message)

        await app(scope, receive, keep)
        self._answers[key] = answer
        while len(self._answers) > _KEPT:
            del self._answers[next(iter(self._answers))]


def _key(scope: Scope) -> _Key:
    token = dict(scope["headers"]).get(b"authorization", b"")
    return scope["method"], scope["path"], scope["query_string"], token
