"""The Unity Catalog API over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import create_model

from kedro_databricks_hybrid.sandbox.core.bodies import Body, Flag, Integer, Object, Required, parse
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.guesses import NO_METASTORE_STATUS
from kedro_databricks_hybrid.sandbox.unity_catalog.model import no_such

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

NO_METASTORE = "No metastore assigned for the current workspace."
NO_STORAGE_ROOT = (
    "Metastore storage root URL does not exist. Default Storage is enabled in your account. You can use the "
    "UI to create a new catalog using Default Storage, or please provide a storage location for the catalog "
    "(for example 'CREATE CATALOG myCatalog MANAGED LOCATION '<location-path>')."
)


class _Details(Body):
    """The fields that a client sets and reads again; of those of volumes only the comment."""

    comment: str = ""
    properties: Object
    options: Object
    storage_root: str = ""
    connection_name: str = ""
    provider_name: str = ""
    share_name: str = ""
    isolation_mode: str = ""
    enable_predictive_optimization: str = ""
    custom_max_retention_hours: Integer = 0


class _Api:
    """The handlers of one kind of object.

    Args:
        sandbox: The workspace.
        kind: The plural in the address: catalogs, schemas or volumes.
        parents: The fields that name the parents of such an object.
    """

    def __init__(self, sandbox: Sandbox, kind: str, parents: tuple[str, ...]) -> None:
        self._sandbox = sandbox
        self._catalog = sandbox.unity_catalog
        self._kind = kind
        fields: dict[str, Any] = dict.fromkeys(parents, (Required, ...))
        self._parents = create_model("Parents", __base__=Body, **fields)
        self._depth = len(parents)

    async def create(
        self,
        user: User,
        given: dict[str, Any],
        name: str = "",
        volume_type: str = "",
        storage_location: str = "",
    ) -> dict[str, Any]:
        full_name = (*self._parents_in(given), name.lower())
        details = self._details(given)
        if self._kind == "volumes":
            if volume_type != "MANAGED":
                raise invalid("The sandbox supports managed volumes only.")
            if storage_location:
                raise invalid("CreateVolume storage_location can not be provided.")
        needs_root = self._kind == "catalogs" and self._sandbox.kind.default_storage
        if needs_root and not details.get("storage_root"):
            raise ApiError(400, "INVALID_STATE", NO_STORAGE_ROOT)
        return await self._catalog.create(full_name, user.name, details)

    async def list_all(self, given: dict[str, Any]) -> dict[str, Any]:
        return {self._kind: self._catalog.below(self._parents_in(given))}

    async def get(self, full_name: str) -> dict[str, Any]:
        return self._catalog.get(self._names(full_name))

    async def update(
        self, user: User, given: dict[str, Any], full_name: str, new_name: str = "", owner: str = ""
    ) -> dict[str, Any]:
        changes = {**self._details(given), **({"owner": owner} if owner else {})}
        return await self._catalog.update(self._names(full_name), user.name, changes, new_name.lower())

    async def delete(self, full_name: str, force: Flag = False) -> None:
        await self._catalog.remove(self._names(full_name), force=force)

    def _details(self, given: dict[str, Any]) -> dict[str, Any]:
        details = parse(_Details, given).model_dump(exclude_unset=True)
        return {name: details[name] for name in details if self._kind != "volumes" or name == "comment"}

    def _parents_in(self, given: dict[str, Any]) -> tuple[str, ...]:
        return tuple(name.lower() for _, name in parse(self._parents, given))

    def _names(self, full_name: str) -> tuple[str, ...]:
        names = tuple(full_name.lower().split("."))
        if len(names) != self._depth + 1 or not all(names):
            raise invalid(f"'{full_name[:300]}' is not a full name of {self._kind}.")
        return names


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    def metastore_id() -> str:
        """Return the id of the metastore; without Unity Catalog, none is assigned to the workspace."""
        if not sandbox.kind.metastore:
            raise ApiError(NO_METASTORE_STATUS, "METASTORE_DOES_NOT_EXIST", NO_METASTORE)
        return sandbox.metastore_id

    async def assignment() -> dict[str, Any]:
        return {
            "metastore_id": metastore_id(),
            "workspace_id": int(sandbox.org_id),
            "default_catalog_name": sandbox.kind.default_catalog,
        }

    async def summary() -> dict[str, Any]:
        shown = {"metastore_id": metastore_id(), "name": "sandbox", "owner": sandbox.user.name}
        return {**shown, "privilege_model_version": "1.0", "delta_sharing_scope": "INTERNAL"}

    async def tables(catalog_name: Required, schema_name: Required) -> None:
        """List no tables: those of Spark in the sandbox are not in Unity Catalog."""
        sandbox.unity_catalog.get((catalog_name.lower(), schema_name.lower()))

    async def table_of(full_name: str) -> None:
        raise no_such("Table", tuple(full_name.lower().split(".")))

    table: dict[str, Handler] = {
        "GET /current-metastore-assignment": assignment,
        "GET /metastore_summary": summary,
        "GET /tables": tables,
        "GET /tables/{full_name}": table_of,
        "DELETE /tables/{full_name}": table_of,
    }
    for kind, parents in (
        ("catalogs", ()),
        ("schemas", ("catalog_name",)),
        ("volumes", ("catalog_name", "schema_name")),
    ):
        api = _Api(sandbox, kind, parents)
        table |= {
            f"POST /{kind}": api.create,
            f"GET /{kind}": api.list_all,
            f"GET /{kind}/{{full_name}}": api.get,
            f"PATCH /{kind}/{{full_name}}": api.update,
            f"DELETE /{kind}/{{full_name}}": api.delete,
        }
    return endpoints(table, "/api/2.1/unity-catalog")
