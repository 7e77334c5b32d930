"""Execution contexts and commands (API 1.2), and runs as a command in a context."""

from __future__ import annotations

import contextlib
import html
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from kedro_databricks_hybrid.databricks.retry import Backoff, is_transient
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import ComputeError, HybridError, WorkspaceError
from kedro_databricks_hybrid.run import follow
from kedro_databricks_hybrid.run.follow import Ending, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from databricks.sdk.service.compute import CommandStatusResponse

    from kedro_databricks_hybrid.databricks.clusters import Cluster
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.run.request import RunRequest
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_CONTEXT_SECONDS = 300.0
_CREATE_TRIES = 5
_CREATE_PAUSES = (1.0, 10.0)
_LOST_AFTER = 3
"""After how many refusals in a row that nothing explains a context of a running cluster is lost."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TAG = re.compile(r"<[^>]*>")
_CUT = re.compile(r"\*\*\* WARNING: (max output size exceeded|skipped \d+ bytes)[^\n]*\n?")
_CANCELLED = "CommandCancelledException"
_DIED = "The Python process on the cluster ended before the run did"
_RUN_AGAIN = "Run it again, which starts a new process."


class ContextFailedError(ComputeError):
    """A context failed to start on a running cluster; another one may start."""


@dataclass(frozen=True)
class Context:
    """An execution context: one Python process on one cluster.

    Args:
        workspace: The workspace.
        cluster: The cluster.
        context_id: Its id.
        is_warm: Whether an earlier command created it.
    """

    workspace: Workspace
    cluster: Cluster
    context_id: str
    is_warm: bool = False

    def is_running(self) -> bool:
        """Tell whether the context still exists and accepts commands.

        Raises:
            WorkspaceError: The service fails or is busy, and the cluster is not known to run.
        """
        backoff = Backoff()
        refusals = 0
        while isinstance(status := self._status_or_refusal(), WorkspaceError):
            refusals += 1
            if self.is_lost(status, refusals):
                return False
            if refusals >= _LOST_AFTER:
                raise status
            backoff.sleep()
        return status == "Running"

    def is_lost(self, refusal: WorkspaceError, number: int) -> bool:
        """Tell whether a refusal means that the context is lost; its status and text are not documented.

        A failure of API 1.2 itself has no error code. Any other failure counts only if it is repeated while
        the cluster runs.

        Args:
            refusal: The refusal.
            number: How many there have been in a row.
        """
        if not is_transient(refusal) or is_unexplained(refusal):
            return True
        return number >= _LOST_AFTER and self._cluster_state() == "RUNNING"

    def wait(self) -> None:
        """Wait until the context accepts commands.

        Raises:
            ComputeError: It failed to start, or took too long.
        """
        deadline = time.monotonic() + _CONTEXT_SECONDS
        backoff = Backoff()
        while (status := self._status()) != "Running":
            if status == "Error" or time.monotonic() > deadline:
                ended = self.cluster_ended()
                kind = ContextFailedError if status == "Error" and not ended else ComputeError
                raise kind(
                    f"The Python process on the cluster {self.cluster.name} did not start "
                    f"({ended or f'status {status}'}).",
                    hint="See server.log in the folder that `kedro databricks sandbox status` shows."
                    if self.workspace.is_local
                    else "See the cluster's driver log, or restart the cluster.",
                )
            backoff.sleep()

    def start(self, text: str) -> str:
        """Start a command and return its id."""
        from databricks.sdk.service.compute import Language

        with translated(f"start a command on the cluster {self.cluster.name}"):
            wait = self.workspace.client.command_execution.execute(
                cluster_id=self.cluster.cluster_id,
                context_id=self.context_id,
                language=Language.PYTHON,
                command=text,
            )
        return str(cast("Any", wait.response).id)

    def result(self, command_id: str) -> CommandResult:
        """Return a command's current state and result."""
        with translated(f"get the status of a command on the cluster {self.cluster.name}"):
            answer = self.workspace.client.command_execution.command_status(
                self.cluster.cluster_id, self.context_id, command_id
            )
        return _result(answer)

    def run(self, text: str) -> CommandResult:
        """Run a command and wait for its result."""
        command_id = self.start(text)
        backoff = Backoff()
        while not (result := self.result(command_id)).ended:
            backoff.sleep()
        return result

    def cancel(self, command_id: str) -> None:
        """Request that a command be interrupted."""
        with translated(f"cancel the command on the cluster {self.cluster.name}"):
            self.workspace.client.command_execution.cancel(
                cluster_id=self.cluster.cluster_id, context_id=self.context_id, command_id=command_id
            )

    def cluster_ended(self) -> str:
        """Return why the cluster is not running; empty if it is, or if its state is unknown."""
        state = self._cluster_state()
        return "" if state in {"RUNNING", ""} else f"the cluster {self.cluster.name} is {state.lower()}"

    def _cluster_state(self) -> str:
        """Return the cluster's state and the reason for its end; empty if they are unknown."""
        with contextlib.suppress(HybridError), translated("get the state of the cluster"):
            found = self.workspace.client.clusters.get(self.cluster.cluster_id)
            reason = found.termination_reason.code if found.termination_reason else None
            if found.state:
                return f"{found.state.value}{f' ({reason.value})' if reason else ''}"
        return ""

    def destroy(self) -> None:
        """End the context; it is no error if it does not exist any more."""
        try:
            with translated("end the execution context"):
                self.workspace.client.command_execution.destroy(self.cluster.cluster_id, self.context_id)
        except HybridError:
            pass

    @contextlib.contextmanager
    def destroyed_on_error(self) -> Iterator[None]:
        """End the context if the block fails or is interrupted, as nothing else would."""
        try:
            yield
        except BaseException:
            self.destroy()
            raise

    def _status_or_refusal(self) -> str | WorkspaceError:
        try:
            return self._status()
        except WorkspaceError as error:
            return error

    def _status(self) -> str:
        with translated(f"get the status of the execution context on the cluster {self.cluster.name}"):
            answer = self.workspace.client.command_execution.context_status(
                self.cluster.cluster_id, self.context_id
            )
        return answer.status.value if answer.status else "Error"


@dataclass(frozen=True)
class CommandResult:
    """A command's state and its output.

    Args:
        ended: Whether it ended.
        succeeded: Whether it succeeded.
        text: Its output or error, without colours.
        is_cut: Whether a part of the output is missing, also from its middle.
        is_cancelled: Whether it was cancelled, or its context was.
    """

    ended: bool
    succeeded: bool
    text: str
    is_cut: bool = False
    is_cancelled: bool = False


def create_context(
    workspace: Workspace, cluster: Cluster, say: Callable[[str], None] = lambda _: None
) -> Context:
    """Create a context and wait until it accepts commands; a context that fails to start is removed.

    A busy cluster fails to start contexts, so this is tried several times.

    Args:
        workspace: The workspace.
        cluster: A running cluster.
        say: Called with one line before each further try.

    Raises:
        ComputeError: It did not start.
        WorkspaceError: Databricks refused to create it.
    """
    backoff = Backoff(*_CREATE_PAUSES, factor=2)
    tries = 1
    while isinstance(made := _created_or_failed(workspace, cluster), ContextFailedError):
        if tries == _CREATE_TRIES:
            raise made
        tries += 1
        say(f"{made.message} Starting another one ({tries} of {_CREATE_TRIES}).")
        backoff.sleep()
    return made


def _created_or_failed(workspace: Workspace, cluster: Cluster) -> Context | ContextFailedError:
    from databricks.sdk.service.compute import Language

    with translated(f"start a Python process on the cluster {cluster.name}"):
        wait = workspace.client.command_execution.create(
            cluster_id=cluster.cluster_id, language=Language.PYTHON
        )
    context = Context(workspace, cluster, str(cast("Any", wait.response).id))
    try:
        with context.destroyed_on_error():
            context.wait()
    except ContextFailedError as error:
        return error
    return context


def is_unexplained(refusal: WorkspaceError) -> bool:
    """Tell whether Databricks failed without an error code, as API 1.2 does about a context that is gone."""
    from databricks.sdk.errors import InternalError

    cause = refusal.__cause__
    return isinstance(cause, InternalError) and not cause.error_code


def _result(answer: CommandStatusResponse) -> CommandResult:
    status = answer.status.value if answer.status else "Error"
    results = answer.results
    kind = results.result_type.value if results and results.result_type else "text"
    if kind == "error" and results:
        text = results.cause or html.unescape(_TAG.sub("", results.summary or "")) or "no reason given"
    else:
        text = str(results.data) if results and results.data is not None else ""
    text, cuts = _CUT.subn("", _ANSI.sub("", text))
    return CommandResult(
        ended=status in {"Finished", "Error", "Cancelled"},
        succeeded=status == "Finished" and kind != "error",
        text=text,
        is_cut=cuts > 0,
        is_cancelled=status == "Cancelled" or (kind == "error" and _CANCELLED in text),
    )


@dataclass
class CommandWork:
    """A command in an execution context.

    Args:
        context: The execution context.
        command_id: The command; empty if its id was not recorded.
    """

    context: Context
    command_id: str
    _refusals: int = field(default=0, compare=False)

    def ending(self) -> Ending | None:
        """Return how the command ended; a lost context counts as its end."""
        try:
            result = self.context.result(self.command_id)
        except WorkspaceError as error:  # the context was evicted or its cluster terminated
            self._refusals += 1
            if not self.context.is_lost(error, self._refusals):
                raise
            return self._died(error.message)
        self._refusals = 0
        if result.is_cancelled and not self.context.cluster_ended():
            return Ending("cancelled", "The run was cancelled.")
        return self._died(result.text) if result.ended else None

    def cancel(self) -> None:
        """Interrupt the command."""
        self.context.cancel(self.command_id)

    def abandon(self) -> None:
        """End the Python process.

        Raises:
            ComputeError: It is still running.
        """
        self.context.destroy()
        if self.ending() is None:
            raise ComputeError(f"The Python process on the cluster {self.context.cluster.name} did not end.")

    def _died(self, output: str) -> Ending:
        """Describe the end by the command's output and the cluster's state."""
        reason, hint = self.context.cluster_ended(), _RUN_AGAIN
        if not reason and (known := follow.known_cause(output)):
            reason, hint = known
        return Ending("failed", f"{_DIED}{f': {reason}' if reason else ''}.", output, hint)


def start_in_context(context: Context, request: RunRequest, tree: RemoteTree) -> Started:
    """Start a run in a context."""
    command_id = context.start(request.as_command())
    started = Started(CommandWork(context, command_id), tree, request.run_id)
    started.write_info({**request.full_info, "command_id": command_id})
    return started
