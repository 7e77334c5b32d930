"""The current user (SCIM Me), and the discovery document of the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

DISCOVERY_PATH = "/.well-known/databricks-config"
_USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    async def discovery(request: Request) -> Response:
        del request
        return JSONResponse({"oidc_endpoint": f"{sandbox.url}/oidc", "workspace_id": sandbox.org_id})

    async def me(request: Request) -> Response:
        user = request.state.user
        return JSONResponse(
            {
                "schemas": [_USER_SCHEMA],
                "id": str(user.number),
                "userName": user.name,
                "displayName": user.name,
                "active": True,
                "emails": [{"type": "work", "value": user.name, "primary": True}],
                "groups": [{"display": "users", "type": "direct", "value": "users"}],
            }
        )

    return [
        Route(DISCOVERY_PATH, discovery, methods=["GET"]),
        Route("/api/2.0/preview/scim/v2/Me", me, methods=["GET"]),
    ]
