"""Unity Catalog's API over HTTP, as far as volumes need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.answers import invalid
from kedro_databricks_hybrid.sandbox.fields import Fields, body, query

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.unity_catalog import UnityCatalog

_BASE = "/api/2.1/unity-catalog"


class _Api:
    """The handlers of one kind of object.

    Args:
        catalog: What exists.
        kind: The plural in the address: catalogs, schemas or volumes.
        parents: The fields that name what such an object lies in.
    """

    def __init__(self, catalog: UnityCatalog, kind: str, parents: tuple[str, ...]) -> None:
        self._catalog = catalog
        self._kind = kind
        self._parents = parents

    async def create(self, request: Request) -> Response:
        fields = await body(request)
        if self._kind == "volumes" and fields.text("volume_type") != "MANAGED":
            raise invalid("The sandbox has managed volumes only.")
        full_name = (*self._parents_in(fields), fields.text("name").lower())
        made = await self._catalog.create(full_name, request.state.user.name, fields.text("comment", ""))
        return JSONResponse(made)

    async def list_all(self, request: Request) -> Response:
        return JSONResponse({self._kind: self._catalog.below(self._parents_in(query(request)))})

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._catalog.get(self._full_name(request)))

    async def delete(self, request: Request) -> Response:
        await self._catalog.remove(self._full_name(request), force=query(request).flag("force"))
        return JSONResponse({})

    def _parents_in(self, fields: Fields) -> tuple[str, ...]:
        return tuple(fields.text(name).lower() for name in self._parents)

    def _full_name(self, request: Request) -> tuple[str, ...]:
        names = tuple(request.path_params["full_name"].lower().split("."))
        if len(names) != len(self._parents) + 1 or not all(names):
            raise invalid(f"'{'.'.join(names)[:300]}' is not a full name of {self._kind}.")
        return names


def routes(catalog: UnityCatalog) -> list[Route]:
    """Return the routes of this family."""
    found = []
    for kind, parents in (
        ("catalogs", ()),
        ("schemas", ("catalog_name",)),
        ("volumes", ("catalog_name", "schema_name")),
    ):
        api = _Api(catalog, kind, parents)
        found += [
            Route(f"{_BASE}/{kind}", api.create, methods=["POST"]),
            Route(f"{_BASE}/{kind}", api.list_all, methods=["GET"]),
            Route(f"{_BASE}/{kind}/{{full_name}}", api.get, methods=["GET"]),
            Route(f"{_BASE}/{kind}/{{full_name}}", api.delete, methods=["DELETE"]),
        ]
    return found
