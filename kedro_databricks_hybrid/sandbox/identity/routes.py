"""The current user and the other principals (SCIM), and the discovery document of the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint
from kedro_databricks_hybrid.sandbox.identity import scim_routes

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

DISCOVERY_PATH = "/.well-known/databricks-config"


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    async def discovery() -> dict[str, Any]:
        return {"oidc_endpoint": f"{sandbox.url}/oidc", "workspace_id": sandbox.org_id}

    async def me(user: User) -> dict[str, Any]:
        return scim_routes.describe(user, sandbox.groups)

    return [
        endpoint("GET", DISCOVERY_PATH, discovery),
        endpoint("GET", f"{scim_routes.PATH}/Me", me),
        *scim_routes.routes(sandbox.users, sandbox.groups),
    ]
