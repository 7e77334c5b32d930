"""Catalogs, schemas and volumes, through the SDK."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import BadRequest, InvalidState, NotFound, ResourceAlreadyExists
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.catalog import VolumeType

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running


def test_a_volume_is_there_from_the_start(workspace: WorkspaceClient) -> None:
    """main.default.data can be used at once."""
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
    """In any case of letters."""
    with pytest.raises(BadRequest) as refusal:
        workspace.catalogs.create("MAIN")
    assert refusal.value.error_code == "CATALOG_ALREADY_EXISTS"
    with pytest.raises(ResourceAlreadyExists):
        workspace.volumes.create("main", "default", "Data", VolumeType.MANAGED)


@pytest.mark.parametrize("name", ["a.b", "a/b", "..", "a b", "", "x" * 256, "a\x00"])
def test_names_that_cannot_be(http: httpx.Client, name: str) -> None:
    """They are refused, and no folder is created."""
    answer = http.post("/api/2.1/unity-catalog/catalogs", json={"name": name})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_delete(workspace: WorkspaceClient) -> None:
    """Objects with children require `force`; files are deleted with the volume."""
    workspace.files.upload("/Volumes/main/default/data/a", io.BytesIO(b"x"))
    with pytest.raises(InvalidState):
        workspace.catalogs.delete("main")
    with pytest.raises(InvalidState):
        workspace.schemas.delete("main.default")
    workspace.volumes.delete("main.default.data")
    with pytest.raises(NotFound):
        workspace.files.download("/Volumes/main/default/data/a")
    workspace.volumes.create("main", "default", "data", VolumeType.MANAGED)
    assert list(workspace.files.list_directory_contents("/Volumes/main/default/data")) == []
    workspace.catalogs.delete("main", force=True)
    assert list(workspace.catalogs.list()) == []


def test_external_volumes_are_refused(workspace: WorkspaceClient) -> None:
    """The sandbox has no cloud storage for them."""
    with pytest.raises(DatabricksError, match="managed volumes only"):
        workspace.volumes.create("main", "default", "x", VolumeType.EXTERNAL, storage_location="s3://b/x")


def test_volumes_survive_a_restart(start_sandbox: Callable[..., Running]) -> None:
    """A deleted default volume does not come back."""
    first = start_sandbox()
    workspace = first.workspace()
    workspace.volumes.delete("main.default.data")
    workspace.volumes.create("main", "default", "mine", VolumeType.MANAGED)
    first.stop()
    again = start_sandbox().workspace()
    assert [volume.name for volume in again.volumes.list("main", "default")] == ["mine"]


def test_nothing_comes_back(start_sandbox: Callable[..., Running]) -> None:
    """Also if every catalog was deleted."""
    first = start_sandbox()
    first.workspace().catalogs.delete("main", force=True)
    first.stop()
    assert list(start_sandbox().workspace().catalogs.list()) == []
