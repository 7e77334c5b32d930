"""The runs of the workspace and of their tasks: states, outputs, and how they survive a restart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core import guesses
from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.stamps import now
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.store import Store

MAX_OUTPUT = 5 * 1024 * 1024
"""How many of the last bytes of a task's logs, or of the first bytes of a notebook's result, are kept."""

WORKLOAD_FAILED = "Workload failed, see run output for details"
_TYPES = {
    "SUCCESS": "SUCCESS",
    "USER_CANCELED": "SUCCESS",
    "CANCELED": "CLIENT_ERROR",
    "RUN_EXECUTION_ERROR": "CLIENT_ERROR",
    "LIBRARY_INSTALLATION_ERROR": "CLIENT_ERROR",
    "REPOSITORY_CHECKOUT_FAILED": "CLIENT_ERROR",
    "INVALID_RUN_CONFIGURATION": "CLIENT_ERROR",
    "FEATURE_DISABLED": "CLIENT_ERROR",
    "SKIPPED": "CLIENT_ERROR",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "CLIENT_ERROR",
    "CLUSTER_ERROR": "CLOUD_FAILURE",
    "INTERNAL_ERROR": "INTERNAL_ERROR",
}
_TABLE = "runs"
_KEPT_RUNS = 1000


@stored
@dataclass
class State:
    """The state of a run or a task, which the API shows in two forms, `state` and `status`."""

    life_cycle: str = "PENDING"
    result: str = ""
    message: str = ""
    code: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the run or task has ended."""
        return self.life_cycle in {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}

    def describe(self) -> dict[str, Any]:
        """Return `state` and `status` as the API shows them."""
        state: dict[str, Any] = {
            "life_cycle_state": self.life_cycle,
            "state_message": self.message,
            "user_cancelled_or_timedout": self.result in {"CANCELED", "TIMEDOUT"},
        }
        if self.result:
            state["result_state"] = self.result
        status: dict[str, Any] = {"state": "TERMINATED" if self.is_final else self.life_cycle}
        if self.is_final:
            status["termination_details"] = {
                "code": self.code,
                "type": _TYPES.get(self.code, "INTERNAL_ERROR"),
                "message": self.message,
            }
        return {"state": state, "status": status}


SUCCEEDED = State("TERMINATED", "SUCCESS", "", "SUCCESS")
FAILED = State("TERMINATED", "FAILED", WORKLOAD_FAILED, "RUN_EXECUTION_ERROR")
CANCELLED = State("TERMINATED", "CANCELED", "Run cancelled.", "USER_CANCELED")
TIMED_OUT = State("TERMINATED", "TIMEDOUT", "Run timed out.", "CANCELED")
INTERRUPTED = State("INTERNAL_ERROR", "FAILED", "The workspace was restarted.", "INTERNAL_ERROR")
SUCCEEDED_PARTLY = State("TERMINATED", "SUCCESS_WITH_FAILURES", "", "SUCCESS")
UPSTREAM_FAILED = State("SKIPPED", "UPSTREAM_FAILED", "An upstream task failed.", "SKIPPED")
UPSTREAM_CANCELLED = State("SKIPPED", "UPSTREAM_CANCELED", guesses.UPSTREAM_CANCELLED, "SKIPPED")
EXCLUDED = State("SKIPPED", "EXCLUDED", guesses.CONDITIONS_NOT_MET, "SKIPPED")
TOO_MANY = State(
    "SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED",
    guesses.TOO_MANY_RUNS, "MAX_CONCURRENT_RUNS_EXCEEDED",
)  # fmt: skip


@stored
@dataclass
class TaskOutput:
    """The output of a task."""

    logs: str | None = None
    logs_truncated: bool = False
    result: str | None = None
    result_truncated: bool = False
    error: str = ""
    error_trace: str = ""

    def describe(self) -> dict[str, Any]:
        """Return it as `runs/get-output` shows it."""
        shown: dict[str, Any] = {}
        if self.logs is not None:
            shown |= {"logs": self.logs, "logs_truncated": self.logs_truncated}
        if self.result is not None:
            shown["notebook_output"] = {"result": self.result, "truncated": self.result_truncated}
        elif self.logs is None:
            shown["notebook_output"] = {"truncated": False}
        if self.error:
            shown |= {"error": self.error, "error_trace": self.error_trace}
        return shown


class TaskFailedError(Exception):
    """A task fails outside of its program; `state` is its final state."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.state = State("INTERNAL_ERROR", "FAILED", message, code)


@dataclass
class Log:
    """The last part of a task's logs; the beginning is dropped."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    cut: bool = False

    def add(self, text: str) -> None:
        """Append a text."""
        self.parts.append(text)
        self.length += len(text)
        if self.length > 2 * MAX_OUTPUT:
            self.parts = [self.text()]
            self.length = len(self.parts[0])

    def text(self) -> str:
        """Return the last MAX_OUTPUT bytes."""
        content = "".join(self.parts).encode(errors="replace")
        self.cut = self.cut or len(content) > MAX_OUTPUT
        return content[-MAX_OUTPUT:].decode(errors="ignore")


@stored
@dataclass(eq=False)
class TaskRun:
    """One attempt at a task of a run; times are milliseconds since the epoch, 0 if not reached yet.

    Attributes:
        attempt: The number of earlier attempts in this run.
        retries: How many of them this one directly retries; a repair starts from 0 again.
        ready: When its compute was ready and its program began.
        values: What it has set by `dbutils.jobs.taskValues`.
        outcome: Of a condition_task that has ended: true or false.
        child: The run that a run_job_task has started, 0 for none.
        iterations: Of a for_each_task: the latest attempt at each iteration.
        is_iteration: Whether it is one of these.
        input: The input of an iteration.
        ending: The state that it is being ended with, if the program does not decide it.
        resolved: Its settings with all parameters and references replaced.
    """

    run_id: int
    key: str
    given: dict[str, Any]
    state: State = field(default_factory=State)
    start: int = 0
    end: int = 0
    cluster_id: str = ""
    output: TaskOutput = field(default_factory=TaskOutput)
    ending: State | None = None
    attempt: int = 0
    retries: int = 0
    resolved: dict[str, Any] = field(default_factory=dict)
    ready: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    child: int = 0
    iterations: list[TaskRun] = field(default_factory=list)
    is_iteration: bool = False
    input: Any = None

    @property
    def all(self) -> list[TaskRun]:
        """This and its iterations."""
        return [self, *self.iterations]

    def describe(self) -> dict[str, Any]:
        """Return it as a task of `runs/get`."""
        shown = {**self.given, "run_id": self.run_id, "attempt_number": self.attempt}
        shown |= {**self.state.describe(), **_times(self)}
        if self.cluster_id:
            shown["cluster_instance"] = {"cluster_id": self.cluster_id, "spark_context_id": str(self.run_id)}
        if self.outcome:
            shown["condition_task"] = {**self.given["condition_task"], "outcome": self.outcome}
        if self.iterations:
            shown["for_each_task"] = {**self.given["for_each_task"], "stats": self._stats()}
        return shown

    def _stats(self) -> dict[str, Any]:
        states = [one.state for one in self.iterations]
        counts = {
            "total_iterations": len(states),
            "scheduled_iterations": sum(1 for one in self.iterations if one.start),
            "active_iterations": sum(1 for one in self.iterations if one.start and not one.end),
            "completed_iterations": sum(state.is_final for state in states),
            "succeeded_iterations": sum(state.result == "SUCCESS" for state in states),
            "failed_iterations": sum(state.result in {"FAILED", "TIMEDOUT"} for state in states),
        }
        return {"task_run_stats": counts}


@stored
@dataclass(eq=False)
class Run:
    """One run of a job, or a one-time run.

    Attributes:
        kind: JOB_RUN, SUBMIT_RUN or WORKFLOW_RUN.
        given: The settings as given.
        commit: The commit of its git_source.
        parameters: Name, default and value of each parameter.
        overriding: The task parameters of the request that started it.
        repairs: The id of each repair.
        earlier: Attempts at tasks that were followed by another attempt.
        history: Its state before each repair, as the API shows it.
        parent: The run whose run_job_task started it, 0 for none.
    """

    run_id: int
    job_id: int
    name: str
    creator: str
    kind: str
    given: dict[str, Any]
    tasks: list[TaskRun]
    token: str = ""
    start: int = 0
    end: int = 0
    state: State = field(default_factory=State)
    commit: str = ""
    parameters: list[dict[str, str]] = field(default_factory=list)
    overriding: dict[str, Any] = field(default_factory=dict)
    repairs: list[int] = field(default_factory=list)
    earlier: list[TaskRun] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    parent: int = 0

    @property
    def attempts(self) -> list[TaskRun]:
        """Every attempt at its tasks and at their iterations."""
        return [each for one in [*self.tasks, *self.earlier] for each in one.all]

    @property
    def trigger(self) -> str:
        """What started it."""
        return "RUN_JOB_TASK" if self.parent else "ONE_TIME"

    @property
    def is_single_task(self) -> bool:
        """Whether it was submitted as one task without a key."""
        return self.kind != "JOB_RUN" and self.given.get("format") == "SINGLE_TASK"

    def describe(self, only: TaskRun | None = None) -> dict[str, Any]:
        """Return the run, or the run of one of its tasks, as `runs/get` shows it."""
        subject = only or self
        shown: dict[str, Any] = {
            "job_id": self.job_id,
            "run_id": subject.run_id,
            "number_in_job": self.run_id,
            "creator_user_name": self.creator,
            "run_name": self.name,
            "run_type": self.kind,
            "trigger": self.trigger,
            "attempt_number": 0,
            "job_run_id": self.run_id,
            "format": "SINGLE_TASK" if self.is_single_task else "MULTI_TASK",
            "tasks": [one.describe() for one in ([only] if only else self.tasks)],
            **subject.state.describe(),
            **_times(subject),
        }
        if only and only.iterations:
            shown["iterations"] = [one.describe() for one in only.iterations]
        for name in ("job_clusters", "git_source"):
            if name in self.given:
                shown[name] = self.given[name]
        if self.commit:
            shown["git_source"] = {
                **shown["git_source"],
                "git_snapshot": {"used_commit": self.commit},
            }
        if self.parameters:
            shown["job_parameters"] = self.parameters
        if self.overriding:
            shown["overriding_parameters"] = self.overriding
        return shown

    def describe_attempt(self) -> dict[str, Any]:
        """Return the latest repair, or the original run, as the repair history shows it."""
        number = {"type": "REPAIR", "id": self.repairs[-1]} if self.repairs else {"type": "ORIGINAL"}
        before = {task for item in self.history for task in item["task_run_ids"]}
        runs = [one.run_id for one in [*self.earlier, *self.tasks] if one.run_id not in before]
        return {**number, **self.state.describe(), "start_time": self.start, "end_time": self.end,
                "task_run_ids": runs}  # fmt: skip


class Runs:
    """The saved runs."""

    def __init__(self, store: Store) -> None:
        self._table = store.table(_TABLE)
        self._runs = self._table.load(Run)
        active = {run_id: run for run_id, run in self._runs.items() if not run.state.is_final}
        for run in self._runs.values():
            _interrupt(run)
        self._table.save_now(active)

    def all(self) -> list[Run]:
        """Return the runs, newest first."""
        return sorted(self._runs.values(), key=lambda run: (run.start, run.run_id), reverse=True)

    def find(self, run_id: int) -> tuple[Run, TaskRun | None]:
        """Return a run by its id; by the id of a task's run, return the task too; refuse a missing one."""
        for run in self._runs.values():
            only = next((one for one in run.attempts if one.run_id == run_id), None)
            if run.run_id == run_id or only is not None:
                return run, only
        raise invalid(f"Run {run_id} does not exist.")

    def started_by(self, run: Run) -> set[int]:
        """Return the ids of the jobs whose runs have started this one through each other, and of its own."""
        found, one = set(), self._runs.get(run.run_id)
        while one is not None:
            found.add(one.job_id)
            one = self._runs.get(one.parent)
        return found

    def with_token(self, user: str, token: str) -> Run | None:
        """Return the run that a user started with an idempotency token, else None."""
        return next(
            (one for one in self._runs.values() if token and (one.creator, one.token) == (user, token)), None
        )

    async def add(self, run: Run) -> None:
        """Save a new run; delete the oldest ended ones if there are too many."""
        self._runs[run.run_id] = run
        old = [one.run_id for one in self.all()[_KEPT_RUNS:] if one.state.is_final]
        for run_id in old:
            del self._runs[run_id]
        await self.save(run)
        await self._table.remove(old)

    async def remove(self, run: Run) -> None:
        """Delete a run."""
        self._runs.pop(run.run_id, None)
        await self._table.remove([run.run_id])

    async def save(self, run: Run) -> None:
        """Save one run as it is now."""
        await self._table.save(run.run_id, run)


def _interrupt(run: Run) -> None:
    """Mark a saved run and its tasks as interrupted if they had not ended."""
    subjects: list[Run | TaskRun] = [run, *run.attempts]
    for subject in subjects:
        if not subject.state.is_final:
            subject.state, subject.end = replace(INTERRUPTED), now()
    for task in run.attempts:
        task.ending = None


def _times(subject: Run | TaskRun) -> dict[str, int]:
    """Return times and durations as the API shows them; a run of tasks has only their sum."""
    setup = execution = 0
    if isinstance(subject, TaskRun):
        setup = max((subject.ready or subject.end) - subject.start, 0)
        execution = max(subject.end - subject.ready, 0) if subject.ready else 0
    return {
        "start_time": subject.start,
        "end_time": subject.end,
        "setup_duration": setup,
        "execution_duration": execution,
        "cleanup_duration": 0,
        "run_duration": subject.end - subject.start if subject.end else 0,
    }
