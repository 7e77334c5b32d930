"""Instance pools and cluster policies: kept and shown, and of no effect on the clusters of the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import without
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.records import RecordKind

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.clusters.model import Clusters
    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.records import Records
    from kedro_databricks_hybrid.sandbox.core.users import User

POOLS = RecordKind(
    "instance-pools", "Instance pool", "instance_pool_id", "instance_pool_name", "created_at",
    {"state": "ACTIVE", "stats": {"used_count": 0, "idle_count": 0}},
)  # fmt: skip
POLICIES = RecordKind(
    "cluster-policies", "Policy", "policy_id", "name", "created_at_timestamp", {"is_default": False}
)


def routes(pools: Records, policies: Records, clusters: Clusters) -> list[Route]:
    """Return the routes of instance pools and policies."""
    return [
        *endpoints(_table(pools, "instance_pools", clusters), "/api/2.0/instance-pools"),
        *endpoints(_table(policies, "policies", clusters), "/api/2.0/policies/clusters"),
    ]


def _table(records: Records, listed: str, clusters: Clusters) -> dict[str, Handler]:
    field = records.kind.number

    async def create(user: User, given: dict[str, Any]) -> dict[str, Any]:
        clusters.check_offered()
        return {field: await records.create(user.name, given)}

    async def edit(given: dict[str, Any]) -> None:
        await records.edit(str(given.get(field)), without(given, field))

    async def get(given: dict[str, Any]) -> dict[str, Any]:
        return records.get(str(given.get(field)))

    async def list_all() -> dict[str, Any]:
        return {listed: records.all()}

    async def delete(given: dict[str, Any]) -> None:
        await records.remove(str(given.get(field)))

    return {
        "POST /create": create,
        "POST /edit": edit,
        "POST /delete": delete,
        "GET /get": get,
        "GET /list": list_all,
    }
