"""What a job runs and on what, where one of them is not as it should be: the exact commit, or one line."""

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
    """Have the project's jobs take their code from the remote or from the Git folder."""
    folder = f"/Workspace/Repos/{{user}}/{shell.folder.name}"
    settings = f"code: {{folder: '{folder}', job_source: {source}}}\ncompute: {{cluster: sandbox}}\n"
    write(shell, base=settings)


def test_a_job_of_the_exact_commit(tiny: Callable[[str], Shell]) -> None:
    """Databricks checks out the commit that the Git folder holds, whatever the branch has since."""
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
    """The job fails before its pipeline begins, and says so in one line; so does the list of runs."""
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
    """The cloud's own reason is shown, by whoever starts it and by whoever follows it later."""
    shell = tiny("no-job-cluster")
    write(shell, base=_BROKEN_CLUSTER.format(name="no-job-cluster"))
    commit_node(shell, "pass")
    words = ("CLUSTER_ERROR", "did not start", "CLOUD_PROVIDER_LAUNCH_FAILURE", "See http://127.0.0.1")
    shell.fails(f"{RUN} --job", *words)
    assert last_outcome(shell) == "failed"
    shell.ok(f"{RUN} --job --detach")
    shell.fails(f"kedro databricks attach {PROFILE}", *words)


def test_a_job_on_a_cluster_that_cannot_start(tiny: Callable[[str], Shell]) -> None:
    """One that is there and stopped is started by the job, and its reason shown in the same way."""
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
    """A deployed job whose notebook has been deleted there fails at once, in Databricks' own words."""
    shell = tiny("no-notebook")
    take_code_from(shell, "git_folder")
    commit_notebook(shell)
    shell.ok(PUSH)
    shell.ok(f"{DEPLOY}=no-notebook")
    shell.client().workspace.delete("/Repos/user@example.com/no-notebook/notebooks", recursive=True)
    shell.fails(
        f"{DEPLOY}=no-notebook --run", "RESOURCE_NOT_FOUND", "run_on_databricks", "See http://127.0.0.1"
    )
