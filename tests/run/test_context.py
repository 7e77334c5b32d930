"""Execution contexts: created, replaced when lost, ended when unused, and kept through transient failures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from databricks.sdk.errors import BadRequest, InternalError, TemporarilyUnavailable
from databricks.sdk.service.compute import (
    CommandStatus,
    CommandStatusResponse,
    ContextStatus,
    Results,
    ResultType,
    State,
)

from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.errors import ComputeError, WorkspaceError
from kedro_databricks_hybrid.project.requirements import find_requirements
from kedro_databricks_hybrid.run import context, install, warm_context
from kedro_databricks_hybrid.run.context import CommandWork, Context, create_context
from kedro_databricks_hybrid.run.local_state import ContextStore, StoredContext
from kedro_databricks_hybrid.run.warm_context import WarmContext
from tests.project_fixtures import MemoryFiles
from tests.run.test_warm_context import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from databricks.sdk.errors.base import DatabricksError

    from kedro_databricks_hybrid.databricks.clusters import Cluster
    from kedro_databricks_hybrid.databricks.workspace import Workspace

CLUSTER = cast("Cluster", SimpleNamespace(cluster_id="1", name="one"))


class Service:
    """The contexts API of a workspace with one cluster.

    Args:
        says: The answers for a context's status, in order; an exception is raised.
        cluster: The cluster's state.
    """

    def __init__(self, *says: ContextStatus | BaseException, cluster: State = State.RUNNING) -> None:
        self.says = list(says)
        self.alive: list[str] = []
        self.client = SimpleNamespace(command_execution=self, clusters=self)
        self.host, self.user, self.is_local = "https://x", "me", False
        self.cluster = cluster

    def get(self, _cluster: str) -> Any:
        """Return the cluster."""
        return SimpleNamespace(state=self.cluster, termination_reason=None)

    def create(self, **_: object) -> Any:
        """Create a context."""
        self.alive.append(f"made {len(self.alive)}")
        return SimpleNamespace(response=SimpleNamespace(id=self.alive[-1]))

    def context_status(self, *_: str) -> Any:
        """Return or raise the next answer."""
        answer = self.says.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return SimpleNamespace(status=answer)

    def destroy(self, _cluster: str, context: str) -> None:
        """Remove a context."""
        self.alive.remove(context)


def made(service: Service) -> Context:
    """Create a context."""
    return create_context(cast("Workspace", service), CLUSTER)


def test_it_is_waited_for() -> None:
    """The context is pending at first: creating it returns once it is running."""
    service = Service(ContextStatus.PENDING, ContextStatus.RUNNING)
    assert made(service).context_id in service.alive


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (BadRequest("no such context"), WorkspaceError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["refusal", "interrupt"],
)
def test_one_that_does_not_start_is_ended(trouble: BaseException, error: type[BaseException]) -> None:
    """An error or Ctrl-C while the context starts: it is destroyed."""
    service = Service(ContextStatus.PENDING, trouble)
    with pytest.raises(error):
        made(service)
    assert service.alive == []


def test_a_busy_cluster_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context fails to start: up to five are tried, only one if the cluster is terminating."""
    monkeypatch.setattr(context, "_CREATE_PAUSES", (0.0, 0.0))
    failed = "The Python process on the cluster one did not start"
    said: list[str] = []
    service = Service(*[ContextStatus.ERROR] * 4, ContextStatus.RUNNING)
    create_context(cast("Workspace", service), CLUSTER, said.append)
    assert said == [
        f"{failed} (status Error). Starting another one ({number} of 5)." for number in range(2, 6)
    ]
    assert len(service.alive) == 1
    for state, tries, why in (
        (State.RUNNING, 5, "status Error"),
        (State.TERMINATING, 1, "the cluster one is terminating"),
    ):
        service = Service(*[ContextStatus.ERROR] * tries, cluster=state)
        with pytest.raises(ComputeError, match=rf"{failed} \({why}\)"):
            made(service)
        assert (service.alive, service.says) == ([], [])


def test_an_interrupted_installation_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while requirements are installed: the context is destroyed."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "install", interrupted)
    monkeypatch.setattr(clusters, "wait_for_libraries", lambda *_: None)
    service = Service(ContextStatus.RUNNING)
    requirements = find_requirements(PROJECT, MemoryFiles({"requirements.txt": b"kedro\n"}))
    with pytest.raises(KeyboardInterrupt):
        warm_context.fresh_context(cast("Workspace", service), CLUSTER, requirements, lambda _: None)
    assert service.alive == []


BUSY = TemporarilyUnavailable("try later", error_code="TEMPORARILY_UNAVAILABLE")
BROKEN = InternalError("requirement failed: missing contextId")


@pytest.mark.parametrize(
    ("troubles", "cluster", "is_kept"),
    [
        ([BadRequest("no such context")], State.RUNNING, False),
        ([BROKEN], State.RUNNING, False),
        ([BUSY] * 3, State.RUNNING, False),
        ([BUSY] * 2, State.RUNNING, None),
        ([BUSY] * 3, State.PENDING, True),
    ],
)
def test_a_context_that_is_lost_is_replaced(
    troubles: list[DatabricksError],
    cluster: State,
    is_kept: bool | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lost context is replaced, whichever error API 1.2 returns; a briefly busy service loses none."""
    monkeypatch.setenv("KEDRO_DATABRICKS_STATE", str(tmp_path))
    monkeypatch.setattr(clusters, "wait_for_libraries", lambda *_: None)
    service = Service(*troubles, ContextStatus.RUNNING, cluster=cluster)
    service.alive.append("old")
    one = WarmContext(cast("Workspace", service), CLUSTER, PROJECT)
    key = f"https://x me 1 {PROJECT}"
    ContextStore().put(key, StoredContext("old"))
    if is_kept:
        with pytest.raises(WorkspaceError):
            one.context(None, lambda _: None, lambda _: None)
    else:
        found, _ = one.context(None, lambda _: None, lambda _: None)
        assert found.is_warm is (is_kept is None)
    assert ContextStore().get(key) == StoredContext("made 1" if is_kept is False else "old")
    assert "old" in service.alive


@pytest.mark.parametrize(
    ("troubles", "told"),
    [
        ([BROKEN], "The Python process on the cluster ended before the run did."),
        ([BUSY] * 3, "The Python process on the cluster ended before the run did."),
    ],
)
def test_a_run_in_a_lost_context_has_ended(troubles: list[DatabricksError], told: str) -> None:
    """The status of the run's command keeps failing: the run failed, with Databricks' error as traceback."""
    service = Service()
    answers = iter(troubles)

    def status(*_: str) -> None:
        raise next(answers)

    service.client.command_execution = SimpleNamespace(command_status=status)
    work = CommandWork(Context(cast("Workspace", service), CLUSTER, "x"), "1")
    for _ in troubles[1:]:
        with pytest.raises(WorkspaceError):
            work.ending()
    ending = work.ending()
    assert ending is not None
    assert (ending.outcome, ending.error) == ("failed", told)
    assert str(troubles[0]) in ending.traceback


@pytest.mark.parametrize(
    ("status", "results", "expected"),
    [
        ("FINISHED", Results(data="1", result_type=ResultType.TEXT), (True, "1", False, False)),
        (
            "FINISHED",
            Results(cause="\x1b[0;31mValueError\x1b[0m: no", result_type=ResultType.ERROR),
            (False, "ValueError: no", False, False),
        ),
        (
            "FINISHED",
            Results(
                summary="<span class='ansi-red-fg'>Exception</span>: a &lt; b", result_type=ResultType.ERROR
            ),
            (False, "Exception: a < b", False, False),
        ),
        (
            "FINISHED",
            Results(
                data="head\n*** WARNING: max output size exceeded, skipping output. ***\ntail",
                result_type=ResultType.TEXT,
            ),
            (True, "head\ntail", True, False),
        ),
        (
            "FINISHED",
            Results(data="head\n*** WARNING: skipped 9 bytes of output ***", result_type=ResultType.TEXT),
            (True, "head\n", True, False),
        ),
        (
            "FINISHED",
            Results(cause="com.databricks.CommandCancelledException", result_type=ResultType.ERROR),
            (False, "com.databricks.CommandCancelledException", False, True),
        ),
        ("CANCELLED", None, (False, "", False, True)),
    ],
)
def test_what_a_command_answers(
    status: str, results: Results | None, expected: tuple[bool, str, bool, bool]
) -> None:
    """The result has no colours and no marks of cut text, and tells whether the command was cancelled.

    If the cluster has terminated, the error of the run says so.
    """
    service = Service()
    answer = CommandStatusResponse(status=CommandStatus[status], results=results)
    service.client.command_execution = SimpleNamespace(command_status=lambda *_: answer)
    there = Context(cast("Workspace", service), CLUSTER, "x")
    found = there.result("1")
    assert found.ended
    assert (found.succeeded, found.text, found.is_cut, found.is_cancelled) == expected
    ending = CommandWork(there, "1").ending()
    assert ending is not None
    assert ending.outcome == ("cancelled" if expected[3] else "failed")
    service.cluster = State.TERMINATED
    ending = CommandWork(there, "1").ending()
    assert ending is not None
    assert ending.error.endswith("ended before the run did: the cluster one is terminated.")


def test_a_run_without_a_remembered_context_is_not_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is recorded only with a stored context; without one nothing is stored."""
    monkeypatch.setenv("KEDRO_DATABRICKS_STATE", str(tmp_path))
    one = WarmContext(cast("Workspace", Service()), CLUSTER, PROJECT)
    one.remember_run("20261124-1")
    assert ContextStore().get(f"https://x me 1 {PROJECT}") is None
