"""The clusters API (2.0 and 2.1) and the libraries API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID, STOPPED_ID
from kedro_databricks_hybrid.sandbox.core import runtimes
from kedro_databricks_hybrid.sandbox.core.bodies import Array, Integer, Required, without
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint, endpoints
from kedro_databricks_hybrid.sandbox.core.groups import EVERYBODY
from kedro_databricks_hybrid.sandbox.core.pages import Page, Token, limited
from kedro_databricks_hybrid.sandbox.core.permissions import (
    GROUP,
    KINDS,
    MANAGE,
    Permission,
    Secured,
    of_admins,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.clusters.libraries import Libraries
    from kedro_databricks_hybrid.sandbox.clusters.model import Cluster, Clusters
    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.permissions import Permissions
    from kedro_databricks_hybrid.sandbox.core.principals import Principals
    from kedro_databricks_hybrid.sandbox.core.users import User

_NODE_TYPE = "sandbox.local"
_CORES = 2.0
_MEMORY_MB = 8192
# What the SDK's `select_node_type` reads, and Databricks' other clients list.
_NODE = {
    "node_type_id": _NODE_TYPE,
    "instance_type_id": _NODE_TYPE,
    "description": "This machine",
    "category": "General Purpose",
    "num_cores": _CORES,
    "memory_mb": _MEMORY_MB,
    "num_gpus": 0,
    "is_deprecated": False,
    "is_hidden": False,
    "is_graviton": False,
    "is_io_cache_enabled": True,
    "is_encrypted_in_transit": False,
    "photon_driver_capable": True,
    "photon_worker_capable": True,
    "support_cluster_tags": True,
    "support_ebs_volumes": False,
    "support_port_forwarding": True,
    "node_info": {"status": [], "available_core_quota": _CORES},
    "node_instance_type": {
        "instance_type_id": _NODE_TYPE,
        "local_disks": 1,
        "local_disk_size_gb": 100,
        "local_nvme_disks": 0,
        "local_nvme_disk_size_gb": 0,
    },
}
_JDBC_PORT = 10_000
_MAX_PAGE = 100
_MAX_EVENT_PAGE = 500
_DEFAULT_EVENT_PAGE = 50
_KEPT_ELSEWHERE = {"cluster_id", "cluster_name", "idempotency_token"}


def describe(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster as `clusters/get` shows it."""
    shown: dict[str, Any] = {
        "node_type_id": _NODE_TYPE,
        "driver_node_type_id": _NODE_TYPE,
        "num_workers": 0,
        "autotermination_minutes": 120,
        "data_security_mode": cluster.data_security_mode,
        **cluster.attributes,
        "cluster_id": cluster.cluster_id,
        "cluster_name": cluster.cluster_name,
        "spark_version": cluster.spark_version,
        "creator_user_name": cluster.creator,
        "cluster_source": cluster.attributes.get("cluster_source", "API"),
        "state": cluster.state,
        "state_message": cluster.state_message,
        "start_time": cluster.start_time,
        "default_tags": {
            "Vendor": "Databricks",
            "Creator": cluster.creator,
            "ClusterName": cluster.cluster_name,
            "ClusterId": cluster.cluster_id,
        },
    }
    if cluster.spark_context_id:
        shown["spark_context_id"] = cluster.spark_context_id
    if cluster.state == "RUNNING":
        shown |= {"cluster_cores": _CORES, "cluster_memory_mb": _MEMORY_MB, "jdbc_port": _JDBC_PORT}
    if cluster.terminated_time:
        shown["terminated_time"] = cluster.terminated_time
    if cluster.termination_reason:
        shown["termination_reason"] = cluster.termination_reason
    return shown


class _Api:
    """The handlers of this family."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def list_all(self) -> dict[str, Any]:
        return {"clusters": [describe(cluster) for cluster in self._clusters.all()]}

    async def list_page(self, page_size: Integer = 20, page_token: Token = 0) -> dict[str, Any]:
        part = Page(page_token, min(max(page_size, 1), _MAX_PAGE))
        clusters = self._clusters.all()
        return {"clusters": [describe(one) for one in part.of(clusters)], **part.next(len(clusters))}

    async def get(self, cluster_id: Required) -> dict[str, Any]:
        return describe(self._clusters.get(cluster_id))

    async def create(
        self, user: User, given: dict[str, Any], spark_version: Required, cluster_name: str = ""
    ) -> dict[str, Any]:
        runtimes.check(spark_version)
        cluster = await self._clusters.create(cluster_name, user.name, without(given, *_KEPT_ELSEWHERE))
        return {"cluster_id": cluster.cluster_id}

    async def edit(
        self, given: dict[str, Any], cluster_id: Required, spark_version: Required, cluster_name: str = ""
    ) -> None:
        runtimes.check(spark_version)
        await self._clusters.edit(cluster_id, cluster_name, without(given, *_KEPT_ELSEWHERE))

    async def events(
        self,
        cluster_id: Required,
        order: str = "DESC",
        limit: Integer = 0,
        offset: Integer = 0,
        page_token: Token = 0,
    ) -> dict[str, Any]:
        events = self._clusters.get(cluster_id).events[:: -1 if order == "DESC" else 1]
        size = limited(limit, _DEFAULT_EVENT_PAGE, _MAX_EVENT_PAGE)
        part = Page(max(offset, 0) or page_token, size)
        answer: dict[str, Any] = {"events": part.of(events), "total_count": len(events)}
        if following := part.next(len(events)):
            next_page = {"cluster_id": cluster_id, "order": order, "limit": size, "offset": part.end}
            answer |= {**following, "next_page": next_page}
        return answer

    async def spark_versions(self) -> dict[str, Any]:
        return {"versions": [{"key": key, "name": name} for key, name in runtimes.names().items()]}

    async def node_types(self) -> dict[str, Any]:
        return {"node_types": [_NODE]}


def _one(act: Callable[[str], Awaitable[None]]) -> Handler:
    """Return a handler that acts on one cluster."""

    async def handler(cluster_id: Required) -> None:
        await act(cluster_id)

    return handler


def secured(clusters: Clusters, principals: Principals, cluster_id: str) -> Secured:
    """Return a cluster as an object with permissions, which all users have on the first clusters."""
    initial = [principals.entry(clusters.get(cluster_id).creator, MANAGE)]
    if cluster_id in {RUNNING_ID, STOPPED_ID}:
        initial.append(Permission(GROUP, EVERYBODY, "CAN_RESTART"))
    key = f"clusters/{cluster_id}"
    return Secured(KINDS["clusters"], key, f"/{key}", tuple(initial), of_admins("clusters"))


def routes(clusters: Clusters, permissions: Permissions) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(clusters)

    async def forget(cluster_id: Required) -> None:
        await clusters.forget(cluster_id)
        await permissions.forget(f"clusters/{cluster_id}")

    table: dict[str, Handler] = {
        "GET /get": api.get,
        "POST /create": api.create,
        "POST /edit": api.edit,
        "POST /start": _one(clusters.start),
        "POST /restart": _one(clusters.restart),
        "POST /delete": _one(clusters.terminate),
        "POST /permanent-delete": forget,
        "POST /events": api.events,
        "GET /spark-versions": api.spark_versions,
        "GET /list-node-types": api.node_types,
    }
    return [
        endpoint("GET", "/api/2.0/clusters/list", api.list_all),
        endpoint("GET", "/api/2.1/clusters/list", api.list_page),
        *endpoints(table, "/api/2.0/clusters", "/api/2.1/clusters"),
    ]


def library_routes(libraries: Libraries, clusters: Clusters) -> list[Route]:
    """Return the routes of this family."""

    def shown(cluster_id: str) -> dict[str, Any]:
        statuses = [one.describe() for one in libraries.of(cluster_id)]
        return {"cluster_id": cluster_id, "library_statuses": statuses}

    async def all_statuses() -> dict[str, Any]:
        return {"statuses": [shown(cluster.cluster_id) for cluster in clusters.all()]}

    async def status(cluster_id: Required) -> dict[str, Any]:
        return shown(clusters.get(cluster_id).cluster_id)

    def change(act: Callable[[str, list[Any]], Awaitable[None]]) -> Handler:
        async def handler(cluster_id: Required, libraries: Array) -> None:
            await act(cluster_id, libraries)

        return handler

    table: dict[str, Handler] = {
        "GET /all-cluster-statuses": all_statuses,
        "GET /cluster-status": status,
        "POST /install": change(libraries.add),
        "POST /uninstall": change(libraries.remove),
    }
    return endpoints(table, "/api/2.0/libraries")
