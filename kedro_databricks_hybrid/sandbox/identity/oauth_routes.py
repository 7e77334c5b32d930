"""OAuth for machines: exchange a client's id and secret for an access token that expires.

A user's name is the client id here, and each of the user's tokens is a secret of it. Without OAuth, a CI
workflow that logs in by `DATABRICKS_CLIENT_ID` and `DATABRICKS_CLIENT_SECRET` could not be tried here.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.bodies import limited_body
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint
from kedro_databricks_hybrid.sandbox.identity.tokens import LIFETIME_SECONDS

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

OIDC_PATH = "/oidc/"
_MAX_BYTES = 64 * 1024
_GRANT = "client_credentials"
_BAD_CLIENT = "Client authentication failed"
_BAD_GRANT = "The sandbox supports only the grant client_credentials"


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    async def authorization_server() -> dict[str, Any]:
        base = f"{sandbox.url}{OIDC_PATH}v1"
        return {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"}

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await limited_body(request, _MAX_BYTES)).decode(errors="replace")))
        if form.get("grant_type") != _GRANT:
            return _refusal(400, "unsupported_grant_type", _BAD_GRANT)
        name, secret = _client(request) or (str(form.get("client_id")), str(form.get("client_secret")))
        user = sandbox.user_of(secret)
        if user is None or user.name != name:
            return _refusal(401, "invalid_client", _BAD_CLIENT)
        return JSONResponse(
            {
                "access_token": sandbox.access_tokens.create(user.name).value,
                "scope": "all-apis",
                "token_type": "Bearer",
                "expires_in": LIFETIME_SECONDS,
            }
        )

    return [
        endpoint("GET", f"{OIDC_PATH}.well-known/oauth-authorization-server", authorization_server),
        Route(f"{OIDC_PATH}v1/token", token, methods=["POST"]),
    ]


def _client(request: Request) -> tuple[str, str] | None:
    """Return the client id and the secret in the header of a request."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret


def _refusal(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)
