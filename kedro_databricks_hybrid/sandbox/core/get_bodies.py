"""Read the JSON body of a GET request, which fsspec and dbx send instead of a query string."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_MAX_BYTES = 64 * 1024


class GetBodies:
    """Adds the fields of a GET request's JSON body to its query string, as Databricks does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with the fields of its body, if it has one that is a JSON object."""
        if scope["type"] == "http" and scope["method"] == "GET" and _has_body(scope):
            fields = _fields(await _body(receive))
            if fields:
                query = scope["query_string"]
                scope["query_string"] = b"&".join(filter(None, (query, urlencode(fields).encode())))
        await self._app(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def _body(receive: Receive) -> bytes:
    """Return the body, as much of it as fits."""
    content, more = b"", True
    while more and len(content) <= _MAX_BYTES:
        message = await receive()
        content += message.get("body", b"")
        more = message.get("more_body", False)
    return content


def _fields(content: bytes) -> dict[str, Any]:
    """Return the texts, numbers and booleans in a JSON object, none of another content."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    plain = {name: value for name, value in values.items() if isinstance(value, (str, int, float))}
    return {name: str(value).lower() if value in (True, False) else value for name, value in plain.items()}
