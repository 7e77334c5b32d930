"""Read the parameters of a request into a pydantic model, and refuse invalid ones in the words of the API.

An API family declares a subclass of `Body` for each request, with its fields in the order in which they are
checked. The first invalid field decides the answer.
"""

from __future__ import annotations

import base64
import io
import json
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, absent, malformed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Message

MAX_JSON_BYTES = 24 * 1024 * 1024  # ten megabytes in base64, and room to spare
_MAX_INTEGER = 2**63 - 1
_MAX_DEPTH = 32
_FORM_OVERHEAD = 64 * 1024
# What a field must be, by the type of pydantic's error; any other error says it itself.
_KINDS = {
    "string_type": "a string",
    "bytes_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "greater_than_equal": "an integer",
    "less_than_equal": "an integer",
    "dict_type": "an object",
    "model_type": "an object",
    "list_type": "an array",
}


class Body(BaseModel):
    """The parameters of one kind of request; unknown ones are ignored, and null means absent."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value is not None}


def _as_integer(value: object) -> object:
    if isinstance(value, str) and len(value) <= len(str(_MAX_INTEGER)) + 1:
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit():
            return int(value)
    return value


def _as_flag(value: object) -> object:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _as_bytes(value: object) -> object:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("is not valid base64") from error


Required = Annotated[str, Field(min_length=1)]
"""A string that must be given and not be empty."""

Integer = Annotated[int, Field(strict=True, ge=-_MAX_INTEGER, le=_MAX_INTEGER), BeforeValidator(_as_integer)]
"""An integer, also from a string of digits."""

Flag = Annotated[bool, Field(strict=True), BeforeValidator(_as_flag)]
"""A boolean, also from the strings true and false."""

Base64 = Annotated[bytes, BeforeValidator(_as_bytes)]
"""The bytes in a base64 string."""

Object = Annotated[dict[str, Any], Field(default_factory=dict)]
"""An object, empty if it was not given."""

Array = Annotated[list[Any], Field(default_factory=list)]
"""An array, empty if it was not given."""

AnyBody = TypeVar("AnyBody", bound=Body)


def parse(model: type[AnyBody], values: Mapping[str, Any]) -> AnyBody:
    """Return values as a model.

    Raises:
        ApiError: 400, for the first field that is missing or of a wrong type.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> ApiError:
    """Translate the first error of pydantic into an answer of the API."""
    first = error.errors(include_url=False, include_input=False)[0]
    name, kind = str(first["loc"][-1]), first["type"]
    if kind in {"missing", "string_too_short"}:
        return absent(name)
    reason = f"must be {_KINDS[kind]}" if kind in _KINDS else first["ctx"]["error"]
    return malformed(f"Could not parse request object: field '{name}' {reason}")


def query(request: Request, model: type[AnyBody]) -> AnyBody:
    """Return the parameters in the path and in the query string."""
    return parse(model, {**request.query_params, **request.path_params})


async def body(request: Request, model: type[AnyBody], too_large: ApiError | None = None) -> AnyBody:
    """Return the parameters in the path and in the JSON body; for the arguments see `json_object`."""
    return parse(model, await json_object(request, too_large) | request.path_params)


async def json_object(request: Request, too_large: ApiError | None = None) -> dict[str, Any]:
    """Return the JSON object in the body, whatever its content type; an empty body is an empty object.

    Args:
        request: The request.
        too_large: How to refuse a body that is larger than any body of this API may be.
    """
    content = await limited_body(request, MAX_JSON_BYTES, too_large)
    if not content.strip():
        return {}
    try:
        values = json.loads(content)
        _check_plain(values)
    except (ValueError, RecursionError) as error:
        msg = "Invalid JSON given in the body of the request - failed to parse given JSON"
        raise malformed(msg) from error
    if not isinstance(values, dict):
        msg = "Invalid JSON given in the body of the request - expected a map"
        raise malformed(msg)
    return values


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
async def form(
    request: Request, model: type[AnyBody], limit: int, too_large: ApiError
) -> AsyncIterator[tuple[AnyBody, BinaryIO]]:
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
        file = uploads[0].file if uploads else io.BytesIO(content.encode(errors="replace"))
        yield parse(model, texts), file
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
