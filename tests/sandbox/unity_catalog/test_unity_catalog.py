"""Catalogs, schemas and volumes, through the SDK."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import BadRequest, InvalidState, NotFound, ResourceAlreadyExists
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.catalog import PermissionsChange, Privilege, VolumeType

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.catalog import GetPermissionsResponse, UpdatePermissionsResponse

    from tests.sandbox.conftest import Running


def test_a_volume_is_there_from_the_start(workspace: WorkspaceClient) -> None:
    """The volume main.default.data exists from the start."""
    volume = workspace.volumes.read("main.default.data")
    assert (volume.catalog_name, volume.schema_name, volume.volume_type) == (
        "main",
        "default",
        VolumeType.MANAGED,
    )
    assert [catalog.name for catalog in workspace.catalogs.list()] == ["main"]
    assert [schema.full_name for schema in workspace.schemas.list("main")] == ["main.default"]
    assert [volume.name for volume in workspace.volumes.list("main", "default")] == ["data"]


def test_create_from_catalog_to_file(workspace: WorkspaceClient) -> None:
    """Names are kept in lower case; a file can be written to the new volume."""
    workspace.catalogs.create("Sales")
    workspace.schemas.create("Iris", "Sales")
    made = workspace.volumes.create("Sales", "Iris", "Raw", VolumeType.MANAGED, comment="raw files")
    assert (made.full_name, made.comment) == ("sales.iris.raw", "raw files")
    workspace.files.upload("/Volumes/sales/iris/raw/a.csv", io.BytesIO(b"x"))
    assert workspace.volumes.read("SALES.iris.RAW").owner == "user@example.com"


def test_what_is_missing_is_named(workspace: WorkspaceClient) -> None:
    """The error names the first missing parent, with the code of its type."""
    for call, code in (
        (lambda: workspace.catalogs.get("no"), "CATALOG_DOES_NOT_EXIST"),
        (lambda: workspace.schemas.get("main.no"), "SCHEMA_DOES_NOT_EXIST"),
        (lambda: workspace.volumes.read("main.default.no"), "RESOURCE_DOES_NOT_EXIST"),
        (lambda: workspace.volumes.read("no.default.data"), "CATALOG_DOES_NOT_EXIST"),
        (lambda: workspace.schemas.create("s", "no"), "CATALOG_DOES_NOT_EXIST"),
        (lambda: list(workspace.volumes.list("main", "no")), "SCHEMA_DOES_NOT_EXIST"),
        (lambda: workspace.volumes.delete("main.default.no"), "RESOURCE_DOES_NOT_EXIST"),
    ):
        with pytest.raises(NotFound) as refusal:
            call()
        assert refusal.value.error_code == code


def test_names_that_are_taken(workspace: WorkspaceClient) -> None:
    """A name that exists, in any case of letters, is refused."""
    with pytest.raises(BadRequest) as refusal:
        workspace.catalogs.create("MAIN")
    assert refusal.value.error_code == "CATALOG_ALREADY_EXISTS"
    with pytest.raises(ResourceAlreadyExists):
        workspace.volumes.create("main", "default", "Data", VolumeType.MANAGED)


@pytest.mark.parametrize("name", ["a.b", "a/b", "..", "a b", "", "x" * 256, "a\x00"])
def test_names_that_cannot_be(http: httpx.Client, name: str) -> None:
    """Invalid names are refused with Databricks' message, and no folder is created."""
    answer = http.post("/api/2.1/unity-catalog/catalogs", json={"name": name})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json()["message"] == (
        "Invalid input: RPC CreateCatalog Field managedcatalog.CatalogInfo.name: "
        f'name "{name[:100]}" is not a valid name. '
        "Valid names cannot contain spaces, periods, forward slashes, or control characters."
    )
    if name:
        again = http.patch("/api/2.1/unity-catalog/catalogs/main", json={"new_name": name})
        assert again.json() == answer.json()


PARENTS = {
    "catalogs": {},
    "schemas": {"catalog_name": "Main"},
    "volumes": {"catalog_name": "main", "schema_name": "Default"},
}


@pytest.mark.parametrize(
    ("kind", "inside"), [("catalogs", ""), ("schemas", "main."), ("volumes", "main.default.")]
)
def test_changes(http: httpx.Client, kind: str, inside: str) -> None:
    """Changes are read back, an empty comment is left out, and a new name replaces the old one."""
    base, me = f"/api/2.1/unity-catalog/{kind}", "user@example.com"
    given = {"name": "Sales", "comment": "mine", "properties": {"a": "b"}, "volume_type": "MANAGED"}
    made = http.post(base, json={**PARENTS[kind], **given}).json()
    assert (made["full_name"], made["comment"], made["created_by"]) == (f"{inside}sales", "mine", me)
    assert made.get("properties") == (None if kind == "volumes" else {"a": "b"})
    assert "updated_by" not in made
    changes = {"comment": "", "owner": "other@example.com", "new_name": "Trade"}
    changed = http.patch(f"{base}/{inside}sales", json=changes).json()
    assert (changed["full_name"], changed["owner"]) == (f"{inside}trade", "other@example.com")
    assert (changed["created_by"], changed["updated_by"], "comment" in changed) == (me, me, False)
    assert http.get(f"{base}/{inside}trade").json() == changed
    for answer in (http.get(f"{base}/{inside}sales"), http.patch(f"{base}/{inside}sales", json={})):
        assert answer.status_code == 404


def test_a_new_name_moves_what_is_inside(workspace: WorkspaceClient) -> None:
    """Files of a volume are at the new path; a taken name is refused."""
    workspace.files.upload("/Volumes/main/default/data/a", io.BytesIO(b"x"))
    workspace.volumes.update("main.default.data", new_name="raw")
    workspace.schemas.update("main.default", new_name="first")
    workspace.catalogs.update("main", new_name="whole")
    with workspace.files.download("/Volumes/whole/first/raw/a").contents as file:  # type: ignore[union-attr]
        assert file.read() == b"x"
    assert workspace.volumes.read("whole.first.raw").catalog_name == "whole"
    workspace.volumes.create("whole", "first", "data", VolumeType.MANAGED)
    with pytest.raises(ResourceAlreadyExists):
        workspace.volumes.update("whole.first.data", new_name="raw")


def test_storage_locations(http: httpx.Client) -> None:
    """A managed volume has a storage location that Databricks chooses."""
    address, volume = (
        "/api/2.1/unity-catalog/volumes",
        {**PARENTS["volumes"], "name": "x", "volume_type": "MANAGED"},
    )
    answer = http.post(address, json={**volume, "storage_location": "s3://b/x"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json()["message"] == "CreateVolume storage_location can not be provided."
    made = http.post(address, json=volume).json()
    assert made["storage_location"].startswith(f"s3://sandbox/metastore/{made['metastore_id']}/volumes/")
    assert "comment" not in made


def test_a_catalog_needs_storage_on_free_edition(start_sandbox: Callable[..., Running]) -> None:
    """With Default Storage, as on Free Edition, only the web page can create catalogs."""
    workspace = start_sandbox(like="free-edition").workspace()
    with pytest.raises(InvalidState, match="Default Storage is enabled in your account"):
        workspace.catalogs.create("sales")
    assert (
        workspace.catalogs.create("sales", storage_root="s3://mine/sales").storage_root == "s3://mine/sales"
    )


def test_there_are_no_tables(workspace: WorkspaceClient) -> None:
    """Listing tables of an existing schema returns none; a missing schema is an error."""
    assert list(workspace.tables.list("main", "default")) == []
    for call, code in (
        (lambda: workspace.tables.get("main.default.t"), "TABLE_DOES_NOT_EXIST"),
        (lambda: workspace.tables.delete("main.default.t"), "TABLE_DOES_NOT_EXIST"),
        (lambda: list(workspace.tables.list("main", "no")), "SCHEMA_DOES_NOT_EXIST"),
    ):
        with pytest.raises(NotFound) as refusal:
            call()
        assert refusal.value.error_code == code


def test_delete(workspace: WorkspaceClient) -> None:
    """Objects with children require `force`; files are deleted with the volume."""
    workspace.files.upload("/Volumes/main/default/data/a", io.BytesIO(b"x"))
    counts = "The schema has 0 tables(s), 0 functions(s), 1 volumes(s)"
    for delete, name, code, words in (
        (workspace.catalogs.delete, "main", "CATALOG_NOT_EMPTY", "Catalog 'main' is not empty."),
        (
            workspace.schemas.delete,
            "main.default",
            "SCHEMA_NOT_EMPTY",
            f"Schema 'main.default' is not empty. {counts}",
        ),
    ):
        with pytest.raises(BadRequest) as refusal:
            delete(name)
        assert (refusal.value.error_code, str(refusal.value)) == (code, words)
    workspace.volumes.delete("main.default.data")
    with pytest.raises(NotFound):
        workspace.files.download("/Volumes/main/default/data/a")
    workspace.volumes.create("main", "default", "data", VolumeType.MANAGED)
    assert list(workspace.files.list_directory_contents("/Volumes/main/default/data")) == []
    workspace.catalogs.delete("main", force=True)
    assert list(workspace.catalogs.list()) == []


def test_external_volumes_are_refused(workspace: WorkspaceClient) -> None:
    """External volumes are refused, since the sandbox has no cloud storage."""
    with pytest.raises(DatabricksError, match="managed volumes only"):
        workspace.volumes.create("main", "default", "x", VolumeType.EXTERNAL, storage_location="s3://b/x")


def test_volumes_survive_a_restart(start_sandbox: Callable[..., Running]) -> None:
    """After a restart volumes exist, and a deleted default volume does not."""
    first = start_sandbox()
    workspace = first.workspace()
    workspace.volumes.delete("main.default.data")
    workspace.volumes.create("main", "default", "mine", VolumeType.MANAGED)
    first.stop()
    again = start_sandbox().workspace()
    assert [volume.name for volume in again.volumes.list("main", "default")] == ["mine"]


def test_nothing_comes_back(start_sandbox: Callable[..., Running]) -> None:
    """A restart restores no deleted object, even if every catalog was deleted."""
    first = start_sandbox()
    first.workspace().catalogs.delete("main", force=True)
    first.stop()
    assert list(start_sandbox().workspace().catalogs.list()) == []


def _privileges(answer: GetPermissionsResponse | UpdatePermissionsResponse) -> dict[str | None, list[str]]:
    return {
        one.principal: [each.value for each in one.privileges or []]
        for one in answer.privilege_assignments or []
    }


def test_grants_are_inherited(workspace: WorkspaceClient, start_sandbox: Callable[..., Running]) -> None:
    """They are added and removed by principal, and kept; everything in an object has those of the object."""
    all_of = [Privilege.ALL_PRIVILEGES]
    changes = [
        PermissionsChange(
            principal="account users", add=[Privilege.USE_SCHEMA, Privilege.SELECT], remove=all_of
        ),
        PermissionsChange(principal="user@example.com", add=all_of),
    ]
    granted = workspace.grants.update("schema", "Main.default", changes=changes)
    assert _privileges(granted) == {
        "account users": ["SELECT", "USE_SCHEMA"],
        "user@example.com": ["ALL_PRIVILEGES"],
    }
    volume = PermissionsChange(principal="account users", add=[Privilege.READ_VOLUME])
    workspace.grants.update("volume", "main.default.data", changes=[volume])
    withdrawn = PermissionsChange(principal="user@example.com", remove=all_of)
    workspace.grants.update("schema", "main.default", changes=[withdrawn])
    again = start_sandbox().workspace()
    assert _privileges(again.grants.get("schema", "main.default")) == {
        "account users": ["SELECT", "USE_SCHEMA"]
    }
    (effective,) = again.grants.get_effective("volume", "main.default.data").privilege_assignments or []
    assert [
        (each.privilege.value, each.inherited_from_name)
        for each in effective.privileges or []
        if each.privilege
    ] == [("READ_VOLUME", None), ("SELECT", "main.default"), ("USE_SCHEMA", "main.default")]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("schema", {"principal": "nobody", "add": ["SELECT"]}, "Could not find principal with name nobody"),
        ("schema", {"principal": "users", "add": ["SELECT"]}, "Could not find principal with name users"),
        ("schema", {"principal": "account users", "add": ["NO"]}, "Privilege NO is not applicable to this"),
        (
            "schema",
            {"principal": "account users", "add": ["SELECT"], "remove": ["SELECT"]},
            "Duplicate privileges to add and delete for principal account users.",
        ),
        ("catalog", {"principal": "account users"}, "'main.default' is not a full name of a catalog."),
        ("table", {"principal": "account users"}, "keeps no privileges on 'table'"),
    ],
)
def test_grants_that_are_refused(
    http: httpx.Client, kind: str, change: dict[str, object], message: str
) -> None:
    """With Databricks' words, and nothing changes."""
    address = f"/api/2.1/unity-catalog/permissions/{kind}/main.default"
    answer = http.patch(address, json={"changes": [change]})
    assert answer.status_code in {400, 404}
    assert message in answer.json()["message"]
    assert http.get("/api/2.1/unity-catalog/permissions/schema/main.default").json() == {}
