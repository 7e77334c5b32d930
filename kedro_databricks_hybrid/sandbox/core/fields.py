"""Read the parameters of a request, and refuse those of a wrong type."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid, malformed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Message

MAX_JSON_BYTES = 24 * 1024 * 1024  # ten megabytes in base64, and room to spare
_MAX_INTEGER = 2**63 - 1
_MAX_DEPTH = 32
_FORM_OVERHEAD = 64 * 1024


class Fields:
    """The parameters of one request by name; every accessor refuses a wrong type with status 400."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        """Whether the parameter was given, and is not null."""
        return self._values.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; without a default it must be given and not be empty."""
        value = self._values.get(name)
        if value is None or (value == "" and default is None):
            if default is None:
                msg = f"Missing required field: {name}"
                raise invalid(msg)
            return default
        if not isinstance(value, str):
            msg = f"Could not parse request object: field '{name}' must be a string"
            raise malformed(msg)
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean, also from the strings true and false."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        msg = f"Could not parse request object: field '{name}' must be a boolean"
        raise malformed(msg)

    def number(self, name: str, default: int | None = None) -> int:
        """Return an integer, also from a string of digits; without a default it must be given."""
        value = self._values.get(name)
        if value is None:
            if default is None:
                msg = f"Missing required field: {name}"
                raise invalid(msg)
            return default
        if isinstance(value, str) and len(value) <= len(str(_MAX_INTEGER)) + 1:
            digits = value.removeprefix("-")
            if digits.isascii() and digits.isdigit():
                value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_INTEGER:
            msg = f"Could not parse request object: field '{name}' must be an integer"
            raise malformed(msg)
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object, empty if it was not given."""
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            msg = f"Could not parse request object: field '{name}' must be an object"
            raise malformed(msg)
        return value

    def items(self, name: str) -> list[Any]:
        """Return an array, empty if it was not given."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            msg = f"Could not parse request object: field '{name}' must be an array"
            raise malformed(msg)
        return value

    def without(self, names: set[str]) -> dict[str, Any]:
        """Return every parameter but those named."""
        return {name: value for name, value in self._values.items() if name not in names}

    def content(self, name: str) -> bytes:
        """Return the bytes of a base64 field, empty if it was not given."""
        try:
            return base64.b64decode(self.text(name, ""), validate=True)
        except (binascii.Error, ValueError) as error:
            msg = f"Could not parse request object: field '{name}' is not valid base64"
            raise malformed(msg) from error


def query(request: Request) -> Fields:
    """Return the parameters of the query string."""
    return Fields(dict(request.query_params))


async def body(request: Request, too_large: ApiError | None = None) -> Fields:
    """Return the parameters of a JSON body, whatever its content type.

    Args:
        request: The request.
        too_large: How to refuse a body that is larger than any body of this API may be.
    """
    content = await limited_body(request, MAX_JSON_BYTES, too_large)
    if not content.strip():
        return Fields({})
    try:
        values = json.loads(content)
        _check_plain(values)
    except (ValueError, RecursionError) as error:
        msg = "Invalid JSON given in the body of the request - failed to parse given JSON"
        raise malformed(msg) from error
    if not isinstance(values, dict):
        msg = "Invalid JSON given in the body of the request - expected a map"
        raise malformed(msg)
    return Fields(values)


def _check_plain(values: object) -> None:
    """Refuse what cannot be written as JSON again: infinite numbers, lone surrogates, deep nesting."""
    level = [values]
    for _ in range(_MAX_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not value.isascii():
                value.encode()  # a UnicodeEncodeError is a ValueError
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("not a finite number")
        if not below:
            return
        level = below
    raise ValueError("nested too deeply")


@asynccontextmanager
async def form(request: Request, limit: int, too_large: ApiError) -> AsyncIterator[tuple[Fields, BinaryIO]]:
    """Give the parameters of a multipart form, and its one file, which is kept on disk if it is large."""
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > limit + _FORM_OVERHEAD:
            raise too_large
        return message

    try:
        parts = await Request(request.scope, receive).form(max_files=1, max_fields=20)
    except (HTTPException, MultiPartException, KeyError, ValueError) as error:
        raise malformed("Invalid multipart form given in the body of the request") from error
    try:
        uploads = [part for part in parts.values() if isinstance(part, UploadFile)]
        texts = {name: part for name, part in parts.items() if isinstance(part, str)}
        # Some clients send the file as a field without a file name.
        content = texts.pop("content", texts.pop("contents", ""))
        yield Fields(texts), uploads[0].file if uploads else io.BytesIO(content.encode(errors="replace"))
    finally:
        await parts.close()


async def limited_body(request: Request, limit: int, too_large: ApiError | None = None) -> bytes:
    """Return the raw body; refuse one of more than `limit` bytes."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise too_large or ApiError(413, "BAD_REQUEST", f"The request body is larger than {limit} bytes")
    return bytes(content)
