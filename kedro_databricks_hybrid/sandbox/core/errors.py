"""The two forms of the API's error answers."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

SANDBOX_FAILED = "Internal error of the sandbox; see server.log in its home."
"""The message where the sandbox itself has a bug, or its machine a fault."""


class ApiError(Exception):
    """An error of every API but 1.2: `{"error_code", "message", "details"}`."""

    def __init__(
        self, status: int, error_code: str, message: str, details: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message
        self.details = details or []

    def response(self) -> Response:
        """Return the answer to send."""
        body: dict[str, Any] = {"error_code": self.error_code, "message": self.message}
        if self.details:
            body["details"] = self.details
        return JSONResponse(body, self.status)


class LegacyError(Exception):
    """An error of API 1.2: `{"error": message}`, without a code."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def response(self) -> Response:
        """Return the answer to send."""
        return JSONResponse({"error": self.message}, self.status)


def invalid(message: str) -> ApiError:
    """Return the error for a parameter with an invalid value."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def absent(name: str) -> ApiError:
    """Return the error for a required parameter that is missing or empty."""
    return invalid(f"Missing required field: {name}")


def malformed(message: str) -> ApiError:
    """Return the error for a body or a field of the wrong type."""
    return ApiError(400, "MALFORMED_REQUEST", message)


def missing(message: str) -> ApiError:
    """Return the error for an object that does not exist."""
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def denied(message: str) -> ApiError:
    """Return the error for a caller without the permission."""
    return ApiError(403, "PERMISSION_DENIED", message)


def exists(message: str) -> ApiError:
    """Return the error for a name that is taken; DBFS and workspace send it with status 400."""
    return ApiError(400, "RESOURCE_ALREADY_EXISTS", message)
