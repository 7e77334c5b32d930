"""Read the parameters of a request, and refuse those of a wrong type."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import json_object
from kedro_databricks_hybrid.sandbox.core.errors import invalid, malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_MAX_INTEGER = 2**63 - 1


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


async def body(request: Request) -> Fields:
    """Return the parameters of a JSON body."""
    return Fields(await json_object(request))
