"""The clusters API (2.0 and 2.1) and the libraries API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.clusters import runtimes
from kedro_databricks_hybrid.sandbox.core.fields import Fields, body, query
from kedro_databricks_hybrid.sandbox.core.pages import limit, page

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.clusters.libraries import Libraries
    from kedro_databricks_hybrid.sandbox.clusters.model import Cluster, Clusters

_NODE_TYPE = "sandbox.local"
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
    }
    if cluster.terminated_time:
        shown["terminated_time"] = cluster.terminated_time
    if cluster.termination_reason:
        shown["termination_reason"] = cluster.termination_reason
    return shown


class _Api:
    """The handlers of this family."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def list_all(self, request: Request) -> Response:
        del request
        return JSONResponse({"clusters": [describe(cluster) for cluster in self._clusters.all()]})

    async def list_page(self, request: Request) -> Response:
        fields = query(request)
        size = min(max(fields.number("page_size", 20), 1), _MAX_PAGE)
        part = page(fields, size)
        clusters = self._clusters.all()
        shown = [describe(cluster) for cluster in part.of(clusters)]
        return JSONResponse({"clusters": shown, **part.next(len(clusters))})

    async def get(self, request: Request) -> Response:
        return JSONResponse(describe(self._clusters.get(query(request).text("cluster_id"))))

    async def create(self, request: Request) -> Response:
        fields = await body(request)
        runtimes.check(fields.text("spark_version"))
        name = fields.text("cluster_name", "")
        cluster = await self._clusters.create(name, request.state.user.name, _attributes(fields))
        return JSONResponse({"cluster_id": cluster.cluster_id})

    async def edit(self, request: Request) -> Response:
        fields = await body(request)
        cluster_id = fields.text("cluster_id")
        runtimes.check(fields.text("spark_version"))
        await self._clusters.edit(cluster_id, fields.text("cluster_name", ""), _attributes(fields))
        return JSONResponse({})

    async def start(self, request: Request) -> Response:
        await self._clusters.start((await body(request)).text("cluster_id"))
        return JSONResponse({})

    async def restart(self, request: Request) -> Response:
        await self._clusters.restart((await body(request)).text("cluster_id"))
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        await self._clusters.terminate((await body(request)).text("cluster_id"))
        return JSONResponse({})

    async def permanent_delete(self, request: Request) -> Response:
        await self._clusters.forget((await body(request)).text("cluster_id"))
        return JSONResponse({})

    async def events(self, request: Request) -> Response:
        fields = await body(request)
        events = list(self._clusters.get(fields.text("cluster_id")).events)
        if fields.text("order", "DESC") == "DESC":
            events.reverse()
        part = page(fields, limit(fields, _DEFAULT_EVENT_PAGE, _MAX_EVENT_PAGE), offset="offset")
        answer: dict[str, Any] = {"events": part.of(events), "total_count": len(events)}
        if following := part.next(len(events)):
            next_page = {
                "cluster_id": fields.text("cluster_id"),
                "order": fields.text("order", "DESC"),
                "limit": part.size,
                "offset": part.end,
            }
            answer |= {**following, "next_page": next_page}
        return JSONResponse(answer)

    async def spark_versions(self, request: Request) -> Response:
        del request
        key, name = runtimes.offered()
        return JSONResponse({"versions": [{"key": key, "name": name}]})

    async def node_types(self, request: Request) -> Response:
        del request
        node = {
            "node_type_id": _NODE_TYPE,
            "instance_type_id": _NODE_TYPE,
            "description": "This machine",
            "category": "General Purpose",
            "num_cores": 2.0,
            "memory_mb": 8192,
            "is_deprecated": False,
        }
        return JSONResponse({"node_types": [node]})


def routes(clusters: Clusters) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(clusters)
    found = [
        Route("/api/2.0/clusters/list", api.list_all, methods=["GET"]),
        Route("/api/2.1/clusters/list", api.list_page, methods=["GET"]),
    ]
    for version in ("2.0", "2.1"):
        base = f"/api/{version}/clusters"
        found += [
            Route(f"{base}/get", api.get, methods=["GET"]),
            Route(f"{base}/create", api.create, methods=["POST"]),
            Route(f"{base}/edit", api.edit, methods=["POST"]),
            Route(f"{base}/start", api.start, methods=["POST"]),
            Route(f"{base}/restart", api.restart, methods=["POST"]),
            Route(f"{base}/delete", api.delete, methods=["POST"]),
            Route(f"{base}/permanent-delete", api.permanent_delete, methods=["POST"]),
            Route(f"{base}/events", api.events, methods=["POST"]),
            Route(f"{base}/spark-versions", api.spark_versions, methods=["GET"]),
            Route(f"{base}/list-node-types", api.node_types, methods=["GET"]),
        ]
    return found


def _attributes(fields: Fields) -> dict[str, Any]:
    return fields.without(_KEPT_ELSEWHERE)


def library_routes(libraries: Libraries, clusters: Clusters) -> list[Route]:
    """Return the routes of this family."""

    def shown(cluster_id: str) -> dict[str, Any]:
        statuses = [one.describe() for one in libraries.of(cluster_id)]
        return {"cluster_id": cluster_id, "library_statuses": statuses}

    async def all_statuses(request: Request) -> Response:
        del request
        return JSONResponse({"statuses": [shown(cluster.cluster_id) for cluster in clusters.all()]})

    async def status(request: Request) -> Response:
        return JSONResponse(shown(clusters.get(query(request).text("cluster_id")).cluster_id))

    async def install(request: Request) -> Response:
        fields = await body(request)
        await libraries.add(fields.text("cluster_id"), fields.items("libraries"))
        return JSONResponse({})

    async def uninstall(request: Request) -> Response:
        fields = await body(request)
        await libraries.remove(fields.text("cluster_id"), fields.items("libraries"))
        return JSONResponse({})

    base = "/api/2.0/libraries"
    return [
        Route(f"{base}/all-cluster-statuses", all_statuses, methods=["GET"]),
        Route(f"{base}/cluster-status", status, methods=["GET"]),
        Route(f"{base}/install", install, methods=["POST"]),
        Route(f"{base}/uninstall", uninstall, methods=["POST"]),
    ]
