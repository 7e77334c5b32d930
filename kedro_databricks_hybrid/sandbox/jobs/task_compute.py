"""The compute of a run's tasks: clusters, serverless environments, and files from Git."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.clusters import libraries
from kedro_databricks_hybrid.sandbox.clusters.libraries import PipFailedError
from kedro_databricks_hybrid.sandbox.core import read_only, runtimes
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.jobs.runs import TaskFailedError
from kedro_databricks_hybrid.sandbox.jobs.settings import Spec
from kedro_databricks_hybrid.sandbox.jobs.task_process import Checkout
from kedro_databricks_hybrid.sandbox.kernel.inside.notebook_run import GIT_SOURCES
from kedro_databricks_hybrid.sandbox.repos.credentials import provider_named
from kedro_databricks_hybrid.sandbox.repos.git import GitFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kedro_databricks_hybrid.sandbox.clusters.libraries import Libraries
    from kedro_databricks_hybrid.sandbox.clusters.model import Cluster
    from kedro_databricks_hybrid.sandbox.connect.gateway import Connect
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.jobs.environments import Environments
    from kedro_databricks_hybrid.sandbox.jobs.runs import Run, TaskRun
    from kedro_databricks_hybrid.sandbox.jobs.settings import Settings, Task
    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_DEFAULT_VERSION = "4"
_HASH = 10
_SERVERLESS_RUNTIME = "client.{}.0"


class Compute:
    """The compute of one run.

    Attributes:
        checkout: The files of the run's git_source, None without one.
    """

    def __init__(
        self, sandbox: Sandbox, libraries: Libraries, run: Run, settings: Settings, user: User
    ) -> None:
        self.checkout: Checkout | None = None
        self._scratch = sandbox.layout.scratch / f"git-source-{run.run_id}"
        self._sandbox = sandbox
        self._libraries = libraries
        self._run = run
        self._settings = settings
        self._user = user
        self._made: dict[str, str] = {}
        self._making = asyncio.Lock()

    async def check_out(self) -> str:
        """Fetch the run's git_source and return its commit, empty without one.

        Raises:
            GitFailedError: The remote cannot be read, or lacks the branch, tag or commit.
        """
        source = self._settings.git_source
        if source is None:
            return ""
        url, git = source.git_url, self._sandbox.repos.git
        provider = provider_named(source.git_provider)
        credential = self._sandbox.git_credentials.default(self._user.name, provider)
        clone, files = self._scratch / "clone", self._scratch / "files"
        await git(
            "clone", "--quiet", "--no-checkout", "--no-hardlinks", "--template=", "--", url, str(clone),
            credential=credential, url=url,
        )  # fmt: skip
        history = clone / ".git"
        try:
            wanted = ("rev-parse", "--verify", "--end-of-options", f"{source.ref}^{{commit}}")
            commit = (await git(*wanted, git_dir=history)).strip()
        except GitFailedError as error:
            raise GitFailedError(f"{source.ref.rpartition('/')[2]} is not in {url}") from error
        files.mkdir()
        await git("checkout", "--quiet", "--detach", commit, "--", git_dir=history, work_tree=files)
        await asyncio.to_thread(read_only.make_read_only, files)
        name = f"{hashlib.sha256(url.encode()).hexdigest()[:_HASH]}_commits"
        self.checkout = Checkout(files, f"{GIT_SOURCES}{name}/{commit}")
        return commit

    async def prepare(self, task: Task, one: TaskRun) -> None:
        """Start the task's cluster and install its libraries.

        Raises:
            TaskFailedError: The cluster does not start, or a library cannot be installed.
        """
        cluster = await self._cluster(task)
        if cluster is None:
            return
        one.cluster_id = cluster.cluster_id
        await self._sandbox.clusters.settled(cluster.cluster_id)
        if cluster.state != "RUNNING":
            message = f"Cluster {cluster.cluster_id} did not start: {cluster.state_message}"
            raise TaskFailedError("CLUSTER_ERROR", message)
        if task.libraries:
            await self._libraries.add(cluster.cluster_id, task.libraries)
            await self._libraries.settled(cluster.cluster_id)
            known = self._libraries.of(cluster.cluster_id)
            failed = [each for each in known if each.library in task.libraries and each.status == "FAILED"]
            if failed:
                raise _library_failed(failed[0].message)

    @asynccontextmanager
    async def environment(
        self, task: Task, one: TaskRun, connect: Connect, environments: Environments
    ) -> AsyncIterator[tuple[NotebookEnvironment, dict[str, str]]]:
        """Give the task an environment and its variables; delete them afterwards."""
        made = self._sandbox.notebook_environment(str(one.run_id), self._user, one.cluster_id or None)
        if self.checkout is not None:
            made = replace(made, fixed=(*made.fixed, (self.checkout.files, self.checkout.folder)))
        if not one.cluster_id:  # the programs in an environment that is kept name its folder
            made = replace(made, python_name="serverless")
        making = asyncio.create_task(asyncio.to_thread(made.make))
        try:
            await asyncio.shield(making)  # a thread cannot be stopped in the middle
            if one.cluster_id:
                version = self._sandbox.clusters.get(one.cluster_id).runtime_version
                variables = await asyncio.to_thread(made.variables, self._user.name, version)
            else:
                variables = await self._serverless(task, made, environments)
                if runtimes.speaks_connect():
                    remote = await connect.open_task(made, variables)
                    variables = {**variables, "SPARK_REMOTE": remote}
            yield made, variables
        finally:
            await asyncio.wait([making])
            await connect.close_task(made)
            self._sandbox.notebook_accesses.remove(made.access)
            await asyncio.to_thread(made.remove)

    async def close(self) -> None:
        """Terminate the clusters that were created for this run, and delete the files from Git."""
        for cluster_id in self._made.values():
            if self._sandbox.clusters.find(cluster_id) is None:
                continue  # permanently deleted meanwhile
            await self._sandbox.clusters.terminate(cluster_id, "JOB_FINISHED")
        await asyncio.to_thread(remove_tree, self._scratch)

    async def _serverless(
        self, task: Task, made: NotebookEnvironment, environments: Environments
    ) -> dict[str, str]:
        spec = self._settings.specs.get(task.environment_key or "", Spec())
        version = spec.environment_version or spec.client or _DEFAULT_VERSION
        variables = await asyncio.to_thread(
            made.variables, self._user.name, _SERVERLESS_RUNTIME.format(version)
        )
        variables["IS_SERVERLESS"] = "TRUE"
        if spec.dependencies:
            name = f"requirements-{secrets.token_hex(4)}.txt"
            text = "".join(f"{libraries.as_local(line)}\n" for line in spec.dependencies)
            (made.folder / "databricks" / name).write_text(text, encoding="utf-8")

            async def install() -> None:
                await libraries.pip_install(made, variables, "-r", f"/databricks/{name}")

            try:
                await environments.fill(made, spec.dependencies, install)
            except PipFailedError as error:
                raise _library_failed(str(error)) from error
        return variables

    async def _cluster(self, task: Task) -> Cluster | None:
        """Return the cluster of a task, None on serverless compute; begin to start one that does not run."""
        clusters = self._sandbox.clusters
        if task.existing_cluster_id is not None:
            cluster = clusters.find(task.existing_cluster_id)
            if cluster is None:
                raise TaskFailedError("CLUSTER_ERROR", f"Cluster {task.existing_cluster_id} does not exist")
            if cluster.state == "TERMINATING":
                await clusters.settled(cluster.cluster_id)
            if cluster.state == "TERMINATED":
                await clusters.start(cluster.cluster_id)
            return cluster
        if task.new_cluster is not None:
            return await self._new_cluster(f"task {task.key}", task.new_cluster)
        if task.job_cluster_key is not None:
            attributes = self._settings.clusters[task.job_cluster_key]
            return await self._new_cluster(f"job {task.job_cluster_key}", attributes)
        return None

    async def _new_cluster(self, key: str, attributes: dict[str, Any]) -> Cluster:
        async with self._making:
            if key not in self._made:
                name = f"job-{self._run.job_id}-run-{self._run.run_id}"
                attributes = {**attributes, "cluster_source": "JOB"}
                made = await self._sandbox.clusters.create(name, self._user.name, attributes)
                self._made[key] = made.cluster_id
        return self._sandbox.clusters.get(self._made[key])


def _library_failed(reason: str) -> TaskFailedError:
    return TaskFailedError("LIBRARY_INSTALLATION_ERROR", f"Library installation failed: {reason}")
