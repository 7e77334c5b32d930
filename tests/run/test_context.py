"""Execution contexts: none is left behind that nobody knows of, and trouble of the service ends none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from databricks.sdk.errors import BadRequest, InternalError
from databricks.sdk.service.compute import ContextStatus

from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.errors import ComputeError, WorkspaceError
from kedro_databricks_hybrid.project.requirements import find_requirements
from kedro_databricks_hybrid.run import install, warm_context
from kedro_databricks_hybrid.run.context import Context, create_context
from kedro_databricks_hybrid.run.local_state import ContextStore, StoredContext
from kedro_databricks_hybrid.run.warm_context import WarmContext
from tests.project_fixtures import MemoryFiles
from tests.run.test_warm_context import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.databricks.clusters import Cluster
    from kedro_databricks_hybrid.databricks.workspace import Workspace

CLUSTER = cast("Cluster", SimpleNamespace(cluster_id="1", name="one"))


class Service:
    """The contexts of a workspace.

    Args:
        says: What it says of a context's status; an exception is raised.
    """

    def __init__(self, *says: ContextStatus | BaseException) -> None:
        self.says = list(says)
        self.alive: list[str] = []
        self.client = SimpleNamespace(command_execution=self)
        self.host, self.user, self.is_local = "https://x", "me", False

    def create(self, **_: object) -> Any:
        """Make one."""
        self.alive.append(f"made {len(self.alive)}")
        return SimpleNamespace(response=SimpleNamespace(id=self.alive[-1]))

    def context_status(self, *_: str) -> Any:
        """Answer what comes next."""
        answer = self.says.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return SimpleNamespace(status=answer)

    def destroy(self, _cluster: str, context: str) -> None:
        """End one."""
        self.alive.remove(context)


def made(service: Service) -> Context:
    """Create a context."""
    return create_context(cast("Workspace", service), CLUSTER)


def test_it_is_waited_for() -> None:
    """It takes commands once it says so."""
    service = Service(ContextStatus.PENDING, ContextStatus.RUNNING)
    assert made(service).context_id in service.alive


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (ContextStatus.ERROR, ComputeError),
        (BadRequest("no such context"), WorkspaceError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["error", "refusal", "interrupt"],
)
def test_one_that_does_not_start_is_ended(
    trouble: ContextStatus | BaseException, error: type[BaseException]
) -> None:
    """Its id is known to nobody afterwards."""
    service = Service(ContextStatus.PENDING, trouble)
    with pytest.raises(error):
        made(service)
    assert service.alive == []


def test_an_interrupted_installation_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the requirements are of no use."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "install", interrupted)
    monkeypatch.setattr(clusters, "wait_for_libraries", lambda *_: None)
    service = Service(ContextStatus.RUNNING)
    requirements = find_requirements(PROJECT, MemoryFiles({"requirements.txt": b"kedro\n"}))
    with pytest.raises(KeyboardInterrupt):
        warm_context.fresh_context(cast("Workspace", service), CLUSTER, requirements, lambda _: None)
    assert service.alive == []


@pytest.mark.parametrize(
    ("trouble", "is_kept"), [(InternalError("oops"), True), (BadRequest("no such context"), False)]
)
def test_only_a_context_that_is_gone_is_forgotten(
    trouble: InternalError | BadRequest, is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the service fails, the context is kept: it may be running, and is found the next time."""
    monkeypatch.setenv("KEDRO_DATABRICKS_STATE", str(tmp_path))
    monkeypatch.setattr(clusters, "wait_for_libraries", lambda *_: None)
    service = Service(trouble, ContextStatus.RUNNING)
    service.alive.append("old")
    one = WarmContext(cast("Workspace", service), CLUSTER, PROJECT)
    key = f"https://x me 1 {PROJECT}"
    ContextStore().put(key, StoredContext("old"))
    if is_kept:
        with pytest.raises(WorkspaceError):
            one.context(None, lambda _: None, lambda _: None)
    else:
        one.context(None, lambda _: None, lambda _: None)
    assert ContextStore().get(key) == StoredContext("old" if is_kept else "made 1")
    assert "old" in service.alive


def test_a_run_without_a_remembered_context_is_not_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody forgot the context meanwhile; a note without one would lead nowhere."""
    monkeypatch.setenv("KEDRO_DATABRICKS_STATE", str(tmp_path))
    one = WarmContext(cast("Workspace", Service()), CLUSTER, PROJECT)
    one.remember_run("20261124-1")
    assert ContextStore().get(f"https://x me 1 {PROJECT}") is None
