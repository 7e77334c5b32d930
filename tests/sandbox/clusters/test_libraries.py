"""Libraries of clusters, through the SDK, installed by pip."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.compute import Library, LibraryInstallStatus, MavenLibrary, PythonPyPiLibrary

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID, STOPPED_ID
from tests.sandbox.notebooks import open_notebook
from tests.sandbox.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.compute import LibraryFullStatus

    from tests.sandbox.conftest import Running

pytestmark = pytest.mark.processes

UNDER_WAY = {
    LibraryInstallStatus.PENDING,
    LibraryInstallStatus.RESOLVING,
    LibraryInstallStatus.INSTALLING,
}
USE = "import ours; ours.VALUE"


def upload(workspace: WorkspaceClient, value: str = "7") -> Library:
    """Upload a wheel with a module `ours` to a volume."""
    name, content = wheel("ours", ours=f"VALUE = {value}")
    path = f"/Volumes/main/default/data/{name}"
    workspace.files.upload(path, io.BytesIO(content), overwrite=True)
    return Library(whl=path)


def settled(workspace: WorkspaceClient, cluster: str = RUNNING_ID) -> list[LibraryFullStatus]:
    """Wait until no library is pending or being installed, and return the statuses."""
    deadline = time.monotonic() + 60
    while any(one.status in UNDER_WAY for one in workspace.libraries.cluster_status(cluster)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return list(workspace.libraries.cluster_status(cluster))


def test_a_wheel(workspace: WorkspaceClient, http: httpx.Client) -> None:
    """A wheel is installed in the background, for new and open contexts of only this cluster."""
    library = upload(workspace)
    before = open_notebook(http)
    assert "ModuleNotFoundError" in before.results(USE)["summary"]
    workspace.libraries.install(RUNNING_ID, [library])
    first = next(iter(workspace.libraries.cluster_status(RUNNING_ID)))
    assert first.status in UNDER_WAY
    (done,) = settled(workspace)
    assert (done.status, done.library) == (LibraryInstallStatus.INSTALLED, library)
    assert [notebook.text(USE) for notebook in (before, open_notebook(http))] == ["7", "7"]
    workspace.clusters.start(STOPPED_ID).result()
    assert "ModuleNotFoundError" in open_notebook(http, STOPPED_ID).results(USE)["summary"]
    assert {one.cluster_id for one in workspace.libraries.all_cluster_statuses()} == {RUNNING_ID, STOPPED_ID}


def test_requirements_that_name_a_wheel(workspace: WorkspaceClient, http: httpx.Client) -> None:
    """Paths in a requirements file are resolved on the cluster."""
    wheel_path = upload(workspace).whl
    workspace.files.upload(
        "/Volumes/main/default/data/requirements.txt", io.BytesIO(f"{wheel_path}\n".encode())
    )
    workspace.libraries.install(
        RUNNING_ID, [Library(requirements="/Volumes/main/default/data/requirements.txt")]
    )
    assert [one.status for one in settled(workspace)] == [LibraryInstallStatus.INSTALLED]
    assert open_notebook(http).text(USE) == "7"


def test_what_cannot_be_installed(workspace: WorkspaceClient) -> None:
    """A library fails with pip's message, the others are installed; a second request tries again."""
    missing = Library(whl="dbfs:/nothing-1.0-py3-none-any.whl")
    jar = Library(maven=MavenLibrary(coordinates="a:b:1"))
    workspace.libraries.install(RUNNING_ID, [missing, jar, upload(workspace)])
    statuses = settled(workspace)
    assert [one.status for one in statuses] == [
        LibraryInstallStatus.FAILED,
        LibraryInstallStatus.FAILED,
        LibraryInstallStatus.INSTALLED,
    ]
    assert "/dbfs/nothing-1.0" in " ".join(statuses[0].messages or [])
    name, content = wheel("nothing")
    with workspace.dbfs.open(f"/{name}", write=True) as file:
        file.write(content)
    workspace.libraries.install(RUNNING_ID, [missing])
    assert settled(workspace)[0].status is LibraryInstallStatus.INSTALLED


def test_uninstall_after_a_restart(workspace: WorkspaceClient, http: httpx.Client) -> None:
    """An uninstalled library stays until the cluster restarts; the others are installed again."""
    library = upload(workspace)
    name, content = wheel("kept", kept="")
    workspace.files.upload(f"/Volumes/main/default/data/{name}", io.BytesIO(content))
    kept = Library(whl=f"/Volumes/main/default/data/{name}")
    workspace.libraries.install(RUNNING_ID, [library, kept])
    settled(workspace)
    workspace.libraries.uninstall(RUNNING_ID, [library])
    assert [one.status for one in settled(workspace)] == [
        LibraryInstallStatus.UNINSTALL_ON_RESTART,
        LibraryInstallStatus.INSTALLED,
    ]
    assert open_notebook(http).text(USE) == "7"
    workspace.clusters.restart(RUNNING_ID).result()
    assert [one.library for one in settled(workspace)] == [kept]
    notebook = open_notebook(http)
    assert "ModuleNotFoundError" in notebook.results(USE)["summary"]
    assert notebook.text("import kept") == ""


def test_a_stopped_cluster_installs_when_it_starts(workspace: WorkspaceClient, http: httpx.Client) -> None:
    """Libraries of a stopped cluster are pending until it starts."""
    workspace.libraries.install(STOPPED_ID, [upload(workspace)])
    time.sleep(0.2)
    (pending,) = workspace.libraries.cluster_status(STOPPED_ID)
    assert pending.status is LibraryInstallStatus.PENDING
    workspace.clusters.start(STOPPED_ID).result()
    assert settled(workspace, STOPPED_ID)[0].status is LibraryInstallStatus.INSTALLED
    assert open_notebook(http, STOPPED_ID).text(USE) == "7"


def test_they_survive_a_restart_of_the_server(start_sandbox: Callable[..., Running]) -> None:
    """A restart of the server keeps libraries, before or after pip ended, even if linked packages changed."""
    first = start_sandbox()
    linked = Library(pypi=PythonPyPiLibrary("parse"))
    first.workspace().libraries.install(RUNNING_ID, [upload(first.workspace())])
    first.stop()
    second = start_sandbox()
    assert [one.status for one in settled(second.workspace())] == [LibraryInstallStatus.INSTALLED]
    assert open_notebook(second.http()).text(USE) == "7"
    second.workspace().libraries.install(RUNNING_ID, [linked])
    assert [one.status for one in settled(second.workspace())] == [LibraryInstallStatus.INSTALLED] * 2
    second.stop()
    (file,) = second.sandbox.layout.libraries.rglob("parse-*.dist-info/METADATA")
    file.unlink()
    file.symlink_to("/nowhere/of-an-older-version")
    third = start_sandbox()
    assert [one.status for one in settled(third.workspace())] == [LibraryInstallStatus.INSTALLED] * 2
    assert open_notebook(third.http()).text(f"import parse; {USE}") == "7"


@pytest.mark.parametrize(
    "library",
    [
        Library(),
        Library(pypi=PythonPyPiLibrary(package="")),
        Library(whl="--index-url=http://evil.example"),
        Library(requirements="/tmp/requirements.txt"),
    ],
)
def test_what_is_no_library(workspace: WorkspaceClient, library: Library) -> None:
    """A request with one invalid library is refused as a whole."""
    with pytest.raises(InvalidParameterValue):
        workspace.libraries.install(RUNNING_ID, [Library(jar="/a.jar"), library])
    assert list(workspace.libraries.cluster_status(RUNNING_ID)) == []
