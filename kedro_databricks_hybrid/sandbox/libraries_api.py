"""The libraries API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.fields import body, query

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.clusters import Clusters
    from kedro_databricks_hybrid.sandbox.libraries import Libraries


def routes(libraries: Libraries, clusters: Clusters) -> list[Route]:
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
