"""Read the parameters of a request, and refuse invalid ones in the words of the API.

Handlers declare the parameters that they read as those of their function, see `endpoints`. What has parts,
such as the settings of a job, is a subclass of `Body`. The first invalid field decides the answer.
"""

from __future__ import annotations

import base64
import inspect
import io
import json
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, absent, invalid, malformed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.types import Message

MAX_JSON_BYTES = 24 * 1024 * 1024  # ten megabytes in base64, and room to spare
_MAX_INTEGER = 2**63 - 1
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

Entry = TypeVar("Entry")
ArrayOf = Annotated[list[Entry], Field(default_factory=list)]
"""An array of entries of a type, empty if it was not given."""

Array = ArrayOf[Any]
"""An array of anything."""

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
    (*_, outer, name), kind = (None, *first["loc"]), first["type"]
    if isinstance(name, int):
        return invalid(f"{outer} must be {_KINDS[kind].split()[-1]}s.")
    if kind in {"missing", "string_too_short"}:
        return absent(str(name))
    reason = f"must be {_KINDS[kind]}" if kind in _KINDS else first["ctx"]["error"]
    return malformed(f"Could not parse request object: field '{name}' {reason}")


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return all values but those named."""
    return {name: value for name, value in values.items() if name not in names}


def model_of(handler: Callable[..., object], *without: str) -> type[Body]:
    """Return the model of a function's parameters but those named; pydantic finds the types in its module."""
    parameters = inspect.signature(handler).parameters
    sent = (one for name, one in parameters.items() if name not in without)
    return _model(handler.__module__, handler.__name__, *sent)


@cache
def _model(module: str, name: str, *parameters: inspect.Parameter) -> type[Body]:
    """Return a model, the same for the handlers of every application in this process."""
    fields: dict[str, Any] = {"__annotations__": {}, "__module__": module}
    for one in parameters:
        fields["__annotations__"][one.name] = one.annotation
        if one.default is not one.empty:
            fields[one.name] = one.default
    made: type[Body] = type(name, (Body,), fields)
    return made


async def query(request: Request) -> dict[str, Any]:
    """Return the parameters in the path and in the query string; fsspec and dbx send those of GET as JSON."""
    sent = await body(request) if request.method == "GET" else {}
    return {**sent, **request.query_params, **request.path_params}


async def body(request: Request, too_large: ApiError | None = None) -> dict[str, Any]:
    """Return the parameters in the path and in the JSON body, whatever its content type; it may be empty.

    Args:
        request: The request.
        too_large: How to refuse a body that is larger than any body of this API may be.
    """
    content = await limited_body(request, MAX_JSON_BYTES, too_large)
    try:
        values = from_json(content if content.strip() else b"{}")  # refuses lone surrogates and deep nesting
        json.dumps(values, allow_nan=False)  # refuses infinite numbers
    except ValueError as error:
        msg = "Invalid JSON given in the body of the request - failed to parse given JSON"
        raise malformed(msg) from error
    if not isinstance(values, dict):
        raise malformed("Invalid JSON given in the body of the request - expected a map")
    return values | request.path_params


@asynccontextmanager
async def form(
    request: Request, limit: int, too_large: ApiError
) -> AsyncIterator[tuple[dict[str, str], BinaryIO]]:
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
        yield texts, file
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
