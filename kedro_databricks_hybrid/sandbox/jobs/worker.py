"""Perform runs: wait in the queue of the job, then run each task on its compute.

Bundles enable the queue of a job by default; without queues, a second run that waits on Databricks would be
skipped here.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from kedro_databricks_hybrid.sandbox.core.errors import SANDBOX_FAILED, ApiError
from kedro_databricks_hybrid.sandbox.core.stamps import new_id, now
from kedro_databricks_hybrid.sandbox.jobs import control_flow, runs, task_order
from kedro_databricks_hybrid.sandbox.jobs.environments import Environments
from kedro_databricks_hybrid.sandbox.jobs.parameters import with_parameters
from kedro_databricks_hybrid.sandbox.jobs.runs import Run, Runs, State, TaskFailedError, TaskRun
from kedro_databricks_hybrid.sandbox.jobs.settings import PROGRAMS
from kedro_databricks_hybrid.sandbox.jobs.task_compute import Compute
from kedro_databricks_hybrid.sandbox.jobs.task_process import TaskProcess, program_of
from kedro_databricks_hybrid.sandbox.kernel.process import KernelDiedError
from kedro_databricks_hybrid.sandbox.repos.git import GitFailedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from kedro_databricks_hybrid.sandbox.clusters.libraries import Libraries
    from kedro_databricks_hybrid.sandbox.connect.gateway import Connect
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.jobs.settings import Dependency, Settings, Task
    from kedro_databricks_hybrid.sandbox.kernel.access import NotebookAccess
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_LOG = logging.getLogger(__name__)


StartJob: TypeAlias = "Callable[[User, dict[str, Any], Run], Awaitable[Run]]"
Work: TypeAlias = "Coroutine[Any, Any, State]"


class JobWork:
    """Performs the active runs.

    Attributes:
        start_job: Starts a run of a saved job for a task of another run, with the parameters of run-now.
    """

    start_job: StartJob

    def __init__(self, sandbox: Sandbox, libraries: Libraries, connect: Connect, runs: Runs) -> None:
        self._sandbox = sandbox
        self._libraries = libraries
        self._environments = Environments(sandbox.layout)
        self._connect = connect
        self._runs = runs
        self._active: dict[int, asyncio.Task[None]] = {}
        self._tasks: dict[int, asyncio.Task[State]] = {}
        self._queued: dict[int, asyncio.Event] = {}
        self._slots: dict[int, asyncio.Semaphore] = {}
        sandbox.clusters.on_terminate(self._lose_cluster)
        sandbox.notebook_accesses.on_end(self._stop_runs_of)

    def begin(self, run: Run, settings: Settings, user: User, limit: int = 0) -> None:
        """Begin a run, once fewer than `limit` earlier runs of its job are active; 0 begins it at once."""
        work = asyncio.create_task(self._perform(run, settings, user, limit))
        self._active[run.run_id] = work
        work.add_done_callback(lambda _: self._active.pop(run.run_id, None))

    def stop(self, run: Run, how: State) -> None:
        """Begin to end a run; do nothing if it has ended."""
        if run.state.is_final or run.run_id not in self._active:
            return
        run.state = State("TERMINATING", message=how.message)
        for one in [each for task in run.tasks for each in task.all]:
            self._stop_task(one, how)
        if run.run_id in self._queued:
            self._queued[run.run_id].set()

    async def wait(self, run: Run) -> None:
        """Wait until a run has ended."""
        if run.run_id in self._active:
            await asyncio.wait([self._active[run.run_id]])

    async def close(self) -> None:
        """End every run."""
        work = list(self._active.values())
        for run in self._runs.all():
            self.stop(run, runs.INTERRUPTED)
        await asyncio.gather(*work, return_exceptions=True)

    def _stop_task(self, one: TaskRun, how: State) -> None:
        if not one.state.is_final:
            one.ending = one.ending or how
            if one.run_id in self._tasks:
                self._tasks[one.run_id].cancel()

    def _stop_runs_of(self, notebook: NotebookAccess) -> None:
        for run in self._runs.all() if notebook.runs else ():
            if run.run_id in notebook.runs:
                self.stop(run, runs.CANCELLED)

    async def _lose_cluster(self, cluster_id: str) -> None:
        cluster = self._sandbox.clusters.find(cluster_id)
        if cluster is not None and cluster.state == "PENDING":
            return  # it did not start; the task that waits for it reports why
        message = f"Cluster {cluster_id} was terminated during the run."
        lost = State("INTERNAL_ERROR", "FAILED", message, "CLUSTER_ERROR")
        for run in self._runs.all():
            for one in run.attempts if run.run_id in self._active else ():
                if one.cluster_id == cluster_id:
                    self._stop_task(one, lost)

    async def _wait_in_queue(self, run: Run, limit: int) -> None:
        """Wait until fewer than `limit` earlier runs of the job are active."""
        stopped = self._queued[run.run_id] = asyncio.Event()
        waiting = asyncio.create_task(stopped.wait())
        try:
            while not stopped.is_set():
                before = list(self._active)[: list(self._active).index(run.run_id)]
                ahead = [
                    self._active[one.run_id]
                    for one in self._runs.all()
                    if one.job_id == run.job_id and one.run_id in before
                ]
                if len(ahead) < limit:
                    return
                await asyncio.wait([waiting, *ahead], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            del self._queued[run.run_id]

    async def _perform(self, run: Run, settings: Settings, user: User, limit: int) -> None:
        if limit:
            await self._wait_in_queue(run, limit)
        clock, loop = None, asyncio.get_running_loop()
        if settings.timeout_seconds:
            clock = loop.call_later(settings.timeout_seconds, self.stop, run, runs.TIMED_OUT)
        compute = Compute(self._sandbox, self._libraries, run, settings, user)
        try:
            try:
                run.commit = await compute.check_out()
            except (GitFailedError, ApiError) as error:
                message = f"Failed to checkout Git repository: {error}"
                refused = State("INTERNAL_ERROR", "FAILED", message, "REPOSITORY_CHECKOUT_FAILED")
                for one in run.tasks:
                    one.ending = one.ending or refused
            if not run.state.is_final and run.state.life_cycle != "TERMINATING":
                run.state = State("RUNNING")
            await self._runs.save(run)
            await self._run_tasks(run, settings, compute, user)
        finally:
            if clock is not None:
                clock.cancel()
            await compute.close()
            after = {task.key: task.after for task in settings.tasks}
            run.state = task_order.outcome({one.key: one.state for one in run.tasks}, after)
            run.end = now()
            await self._runs.save(run)

    async def _run_tasks(self, run: Run, settings: Settings, compute: Compute, user: User) -> None:
        """Run each unfinished task as soon as the tasks that it depends on have ended."""
        by_key = {one.key: one for one in run.tasks}
        waiting = {task.key: task for task in settings.tasks if not by_key[task.key].state.is_final}
        working: dict[asyncio.Task[State], tuple[Task, TaskRun]] = {}
        while waiting or working:
            for task in [task for task in waiting.values() if _may_start(task, by_key)]:
                one = by_key[waiting.pop(task.key).key]
                one.start = now()
                before = [_seen_by(dependency, by_key) for dependency in task.depends_on]
                one.ending = one.ending or task_order.refusal(task.run_if or "ALL_SUCCESS", before)
                if one.ending is not None:
                    _settle(one, one.ending)
                    continue
                work = asyncio.create_task(self._run_task(task, run, one, compute, user))
                working[work] = task, one
                self._tasks[one.run_id] = work
            if not working:
                continue
            done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
            for work in done:
                task, one = working.pop(work)
                del self._tasks[one.run_id]
                _settle(one, one.ending or _ended(work, one))
                if run.state.life_cycle != "TERMINATING" and _is_retried(task, one):
                    waiting[task.key] = task
                    by_key[task.key] = _next_attempt(run, run.tasks, one)
            await self._runs.save(run)

    async def _run_task(self, task: Task, run: Run, one: TaskRun, compute: Compute, user: User) -> State:
        if one.retries:
            await asyncio.sleep(task.min_retry_interval_millis / 1000)
        async with self._slot() if task.kind in PROGRAMS else nullcontext():
            return await self._do_now(task, run, one, compute, user)

    def _slot(self) -> AbstractAsyncContextManager[object]:
        """Return the context of a running task, which waits if the workspace limits the tasks at once."""
        limit = self._sandbox.kind.max_tasks
        return self._slots.setdefault(limit, asyncio.Semaphore(limit)) if limit else nullcontext()

    async def _do_now(self, task: Task, run: Run, one: TaskRun, compute: Compute, user: User) -> State:
        clock, loop = None, asyncio.get_running_loop()
        if task.timeout_seconds:
            clock = loop.call_later(task.timeout_seconds, self._stop_task, one, runs.TIMED_OUT)
        try:
            task = with_parameters(task, run, one)
            one.resolved = dict(task.work)
            if task.kind in PROGRAMS:
                return await self._run_program(task, run, one, compute, user)
            one.state, one.ready = State("RUNNING"), now()
            return await self._control(task, run, one, compute, user)
        except TaskFailedError as error:
            return error.state
        except (KernelDiedError, OSError) as error:
            return State("INTERNAL_ERROR", "FAILED", str(error), "DRIVER_ERROR")
        finally:
            if clock is not None:
                clock.cancel()

    async def _run_program(self, task: Task, run: Run, one: TaskRun, compute: Compute, user: User) -> State:
        await compute.prepare(task, one)
        program = await asyncio.to_thread(program_of, self._sandbox, user, task, compute.checkout)
        known = {other.key: other.values for other in run.tasks}
        async with compute.environment(task, one, self._connect, self._environments) as (
            environment,
            variables,
        ):
            process = TaskProcess(environment, variables, program, known)
            one.output = process.output
            one.state, one.ready = State("RUNNING"), now()
            try:
                return await process.run()
            finally:
                one.values = process.values()

    async def _control(self, task: Task, run: Run, one: TaskRun, compute: Compute, user: User) -> State:
        """Perform a task that has no program of its own; fail if the sandbox cannot."""
        if task.kind == "condition_task":
            one.outcome = str(control_flow.holds(task.settings)).lower()
            return runs.SUCCEEDED
        if task.kind == "run_job_task":
            return await self._run_job(task, run, one, user)
        if task.kind == "for_each_task":
            return await self._run_each(task, run, one, compute, user)
        message = f"Task {task.key} is a {task.kind}, which the sandbox cannot run."
        raise TaskFailedError("FEATURE_DISABLED", message)

    async def _run_job(self, task: Task, run: Run, one: TaskRun, user: User) -> State:
        """Run another job; the task ends as that run does."""
        starting = asyncio.ensure_future(self.start_job(user, task.settings, run))
        try:
            await asyncio.wait([starting])  # a cancelled task does not stop in the middle of starting a run
            child = starting.result()
            one.child = child.run_id
            await self.wait(child)
        except ApiError as error:
            raise TaskFailedError("INVALID_RUN_CONFIGURATION", error.message) from error
        finally:
            await asyncio.wait([starting])
            if starting.exception() is None:
                self.stop(starting.result(), one.ending or runs.CANCELLED)
                await self.wait(starting.result())
        if child.state.result in {"SUCCESS", "SUCCESS_WITH_FAILURES"}:
            return runs.SUCCEEDED
        message = f"Run {child.run_id} of job {child.job_id} ended with {child.state.result}."
        raise TaskFailedError("RUN_EXECUTION_ERROR", f"{message} {child.state.message}".strip())

    async def _run_each(self, task: Task, run: Run, one: TaskRun, compute: Compute, user: User) -> State:
        """Run the nested task for each input, some at a time."""
        inputs, nested = control_flow.inputs_of(task.settings), task.nested
        if nested is None:
            raise TypeError(task.kind)
        given = task.settings["task"]
        one.iterations = [
            TaskRun(new_id(), f"{nested.key}_{number}", given, is_iteration=True, input=value)
            for number, value in enumerate(inputs)
        ]
        free = asyncio.Semaphore(int(task.settings.get("concurrency") or 1))

        async def begin(each: TaskRun) -> State:
            async with free:
                if each.ending is not None:
                    return each.ending
                each.start = now()
                return await self._run_task(nested, run, each, compute, user)

        numbers = range(len(inputs))
        work = [asyncio.create_task(self._iterate(nested, run, one, each, begin)) for each in numbers]
        try:
            if work:
                await asyncio.wait(work)
        finally:
            for each in one.iterations:
                self._stop_task(each, one.ending or runs.CANCELLED)
            await asyncio.gather(*work)
        failed = [each for each in one.iterations if each.state.result != "SUCCESS"]
        if failed:
            message = f"{len(failed)} of {len(inputs)} iterations failed."
            raise TaskFailedError("RUN_EXECUTION_ERROR", f"{message} {failed[0].state.message}".strip())
        return runs.SUCCEEDED

    async def _iterate(
        self, nested: Task, run: Run, loop: TaskRun, number: int, begin: Callable[[TaskRun], Work]
    ) -> None:
        """Run one iteration, and again after a failure if the nested task is retried."""
        while True:
            one = loop.iterations[number]
            work = self._tasks[one.run_id] = asyncio.create_task(begin(one))
            await asyncio.wait([work])
            del self._tasks[one.run_id]
            _settle(one, one.ending or _ended(work, one))
            if loop.ending is not None or not _is_retried(nested, one):
                return
            _next_attempt(run, loop.iterations, one)


def _seen_by(dependency: Dependency, by_key: dict[str, TaskRun]) -> State:
    """Return the state of a task as one that depends on it sees it: excluded after another outcome."""
    before = by_key[dependency.task_key]
    is_other = before.state.result == "SUCCESS" and dependency.outcome not in {"", before.outcome}
    return runs.EXCLUDED if is_other else before.state


def _may_start(task: Task, by_key: dict[str, TaskRun]) -> bool:
    return all(by_key[key].state.is_final for key in task.after)


def _is_retried(task: Task, one: TaskRun) -> bool:
    if one.state.result == "TIMEDOUT" and not task.retry_on_timeout:
        return False
    may = task.max_retries < 0 or one.retries < task.max_retries
    return may and one.state.result in {"FAILED", "TIMEDOUT"}


def _next_attempt(run: Run, among: list[TaskRun], one: TaskRun) -> TaskRun:
    """Return a new attempt at a task or an iteration, which replaces the earlier one among the others."""
    new = TaskRun(new_id(), one.key, one.given, attempt=one.attempt + 1, retries=one.retries + 1)
    new.is_iteration, new.input = one.is_iteration, one.input
    among[among.index(one)] = new
    run.earlier.append(one)
    return new


def _ended(work: asyncio.Task[State], one: TaskRun) -> State:
    if work.cancelled():
        return runs.INTERRUPTED
    error = work.exception()
    if error is not None:
        _LOG.error("Task %s failed in the sandbox", one.key, exc_info=error)
        return State("INTERNAL_ERROR", "FAILED", SANDBOX_FAILED, "INTERNAL_ERROR")
    return work.result()


def _settle(one: TaskRun, state: State) -> None:
    one.state, one.end = replace(state), now()
