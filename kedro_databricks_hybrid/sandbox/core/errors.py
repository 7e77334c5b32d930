"""The two shapes in which the API refuses a request."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response


class ApiError(Exception):
    """A refusal as every API but 1.2 words it: `{"error_code", "message", "details"}`."""

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
    """A refusal as API 1.2 words it: `{"error": message}`, without a code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def response(self) -> Response:
        """Return the answer to send."""
        return JSONResponse({"error": self.message}, self.status)


def invalid(message: str) -> ApiError:
    """Refuse a value that a parameter cannot take."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def malformed(message: str) -> ApiError:
    """Refuse a body or a field of the wrong shape."""
    return ApiError(400, "MALFORMED_REQUEST", message)


def missing(message: str) -> ApiError:
    """Refuse because the named thing does not exist."""
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def denied(message: str) -> ApiError:
    """Refuse because the caller may not do that."""
    return ApiError(403, "PERMISSION_DENIED", message)


def exists(message: str) -> ApiError:
    """Refuse because the name is taken; DBFS and workspace send this with status 400."""
    return ApiError(400, "RESOURCE_ALREADY_EXISTS", message)
