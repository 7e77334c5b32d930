"""Where a job's code comes from (a commit or the Git folder), and jobs whose code or cluster is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_deploy import DEPLOY, commit_notebook
from tests.e2e.test_jobs import jobs_of, now, write
from tests.e2e.test_lost_drivers import last_outcome
from tests.e2e.test_run import PROFILE, PUSH, REGISTRY, RUN, commit_node, doubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

_BROKEN_CLUSTER = """\
code: {{folder: "/Workspace/Repos/{{user}}/{name}"}}
compute:
  job_cluster:
    spark_version: 17.3.x-scala2.13
    node_type_id: local
    num_workers: 0
    custom_tags: {{sandbox-start-failure: CLOUD_PROVIDER_LAUNCH_FAILURE}}
"""


def take_code_from(shell: Shell, source: str) -> None:
    """Set where the project's jobs get their code: the remote or the Git folder."""
    folder = f"/Workspace/Repos/{{user}}/{shell.folder.name}"
    settings = f"code: {{folder: '{folder}', job_source: {source}}}\ncompute: {{cluster: sandbox}}\n"
    write(shell, base=settings)


def test_a_job_of_the_exact_commit(tiny: Callable[[str], Shell]) -> None:
    """Push newer commits to the branch after the Git folder was updated: the job runs the folder's commit."""
    shell = tiny("from-git")
    take_code_from(shell, "git_source")
    commit_node(shell, 'print("what was pushed", flush=True)')
    shell.fails(f"{RUN} --job", "notebooks/run_on_databricks of commit ", "is missing", "databricks notebook")
    commit_notebook(shell)
    shell.ok(PUSH)
    pushed = shell.ok("git rev-parse HEAD").out.strip()
    registry = shell.folder / REGISTRY
    registry.write_text(registry.read_text().replace("what was pushed", "what came later"))
    shell.ok("git commit -q -a -m Later")
    shell.ok("git push -q origin main")
    began = now(shell)
    ran = shell.ok(f"{RUN} --job")
    assert "what was pushed" in ran.out
    assert "what came later" not in ran.out
    assert "Completed 1 out of 1 tasks" in ran.out
    assert doubled(shell, "from-git") == b"a,b\n2,4\n6,8\n"
    (run,) = jobs_of(shell, began)
    assert run.git_source is not None
    assert run.git_source.git_snapshot is not None
    assert (run.git_source.git_commit, run.git_source.git_snapshot.used_commit) == (pushed, pushed)


def test_a_remote_that_has_lost_the_commit(tiny: Callable[[str], Shell]) -> None:
    """The remote no longer has the commit: the run fails with Databricks' error, and `runs` says failed."""
    shell = tiny("lost-commit")
    take_code_from(shell, "git_source")
    commit_notebook(shell)
    shell.ok(PUSH)
    bare = f"{shell.folder}.git"
    shell.ok(f"git -C {bare} update-ref -d refs/heads/main")
    shell.ok(f"git -C {bare} gc -q --prune=now")
    shell.fails(f"{RUN} --job", "REPOSITORY_CHECKOUT_FAILED", "See http://127.0.0.1", "then run again")
    assert last_outcome(shell) == "failed"


def test_a_job_cluster_that_cannot_start(tiny: Callable[[str], Shell]) -> None:
    """A job cluster cannot start: `run` and a later `attach` both show the cloud provider's reason."""
    shell = tiny("no-job-cluster")
    write(shell, base=_BROKEN_CLUSTER.format(name="no-job-cluster"))
    commit_node(shell, "pass")
    words = ("CLUSTER_ERROR", "did not start", "CLOUD_PROVIDER_LAUNCH_FAILURE", "See http://127.0.0.1")
    shell.fails(f"{RUN} --job", *words)
    assert last_outcome(shell) == "failed"
    shell.ok(f"{RUN} --job --detach")
    shell.fails(f"kedro databricks attach {PROFILE}", *words)


def test_a_job_on_a_cluster_that_cannot_start(tiny: Callable[[str], Shell]) -> None:
    """Run a job on a stopped cluster that cannot start: the error has the cloud provider's reason."""
    shell = tiny("no-start-of-job")
    shell.ok(PUSH)
    clusters = shell.client().clusters
    made = clusters.create(
        spark_version="17.3.x-scala2.13",
        cluster_name="broken-for-jobs",
        num_workers=0,
        node_type_id="local",
        custom_tags={"sandbox-start-failure": "INSUFFICIENT_CAPACITY"},
    )
    try:
        shell.fails(
            f"{RUN} --job --cluster=broken-for-jobs",
            "CLUSTER_ERROR",
            "did not start",
            "INSUFFICIENT_CAPACITY",
        )
    finally:
        clusters.permanent_delete(made.cluster_id)


def test_a_notebook_that_the_git_folder_lacks(tiny: Callable[[str], Shell]) -> None:
    """Delete a deployed job's notebook from the Git folder: its run fails with Databricks' message."""
    shell = tiny("no-notebook")
    take_code_from(shell, "git_folder")
    commit_notebook(shell)
    shell.ok(PUSH)
    shell.ok(f"{DEPLOY}=no-notebook")
    shell.client().workspace.delete("/Repos/user@example.com/no-notebook/notebooks", recursive=True)
    shell.fails(
        f"{DEPLOY}=no-notebook --run", "RESOURCE_NOT_FOUND", "run_on_databricks", "See http://127.0.0.1"
    )
