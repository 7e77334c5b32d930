"""The current user (SCIM Me), and the discovery document of the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

DISCOVERY_PATH = "/.well-known/databricks-config"
_USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    async def discovery() -> dict[str, Any]:
        return {"oidc_endpoint": f"{sandbox.url}/oidc", "workspace_id": sandbox.org_id}

    async def me(user: User) -> dict[str, Any]:
        return {
            "schemas": [_USER_SCHEMA],
            "id": str(user.number),
            "userName": user.name,
            "displayName": user.name,
            "active": True,
            "emails": [{"type": "work", "value": user.name, "primary": True}],
            "groups": [{"display": "users", "type": "direct", "value": "users"}],
        }

    return [endpoint("GET", DISCOVERY_PATH, discovery), endpoint("GET", "/api/2.0/preview/scim/v2/Me", me)]
