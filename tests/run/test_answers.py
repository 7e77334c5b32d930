"""Rare answers of Databricks to a run: a proxy in front of the sandbox returns them."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import PermissionDenied

from kedro_databricks_hybrid.databricks import clusters, workspace
from kedro_databricks_hybrid.databricks.clusters import Cluster
from kedro_databricks_hybrid.errors import (
    ComputeError,
    ConnectionFailedError,
    LoginError,
    NotFoundError,
    RunError,
    WorkspaceError,
)
from kedro_databricks_hybrid.project.requirements import find_requirements
from kedro_databricks_hybrid.project.settings import Compute
from kedro_databricks_hybrid.run import deploy, history, job
from kedro_databricks_hybrid.run import install as run_install
from kedro_databricks_hybrid.run.context import CommandResult, CommandWork, Context
from kedro_databricks_hybrid.run.job import JobWork
from kedro_databricks_hybrid.run.log import RUNS_FOLDER
from tests.project_fixtures import MemoryFiles
from tests.run.test_job import NOTEBOOK, ON_CLUSTER, request
from tests.transfer.conftest import Site, fill, served_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.transfer.bad_line import Fault, Request

SMALL = Cluster("1-small", "small")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve a sandbox behind a proxy that can replace answers."""
    with served_site(tmp_path / "home") as site:
        yield site


def answer(site: Site, answers: Mapping[str, object]) -> None:
    """Let the proxy answer requests whose URL contains one of these strings, instead of the sandbox.

    Args:
        site: The sandbox and its proxy.
        answers: The JSON of each answer, by the string; an error as a tuple of its status and its JSON.
    """

    def fault(request: Request) -> Fault:
        for words, content in answers.items():
            if words in request.line:
                status, said = content if isinstance(content, tuple) else (200, content)
                site.line.says = json.dumps(said).encode()
                return int(status)
        return None

    site.line.fault = fault


def ended(site: Site, code: str, said: str, *, output: object = (), **more: object) -> str:
    """Return the error and hint for a job run that ended with this code and message."""
    run = {
        "run_id": 7,
        "job_id": 3,
        "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED", "state_message": said},
        "status": {"termination_details": {"code": code}},
        "tasks": [{"run_id": 8}, {"run_id": 9}],
        **more,
    }
    answer(site, {"runs/get?": run, "run_id=8": output or ["nothing of use"], "run_id=9": {"error": ""}})
    ending = JobWork(site.workspace(), 7).ending()
    assert ending is not None
    assert ending.outcome == "failed"
    return f"{ending.error} {ending.hint}"


def test_a_job_run_that_ended_without_a_word_of_the_pipeline(site: Site) -> None:
    """The job succeeded but the log has no end record: the run failed, and the error has the job's page."""
    said = ended(site, "SUCCESS", "")
    assert said.startswith("no end: the job's task succeeded, but the log has no end record. See http://127")
    assert "/#job/3/run/7. Fix" in said


def test_a_job_run_whose_driver_was_short_of_memory(site: Site) -> None:
    """The error keeps Databricks' message and adds lack of memory as the likely cause, and a next step."""
    said = ended(site, "RUN_EXECUTION_ERROR", "The Python process stopped unexpectedly.", run_page_url="/x")
    assert "process stopped unexpectedly: it was killed, which usually means that the driver ran out" in said
    assert "Run it again with less data" in said


def test_a_job_run_that_waits_in_the_queue(site: Site) -> None:
    """Databricks' reason is printed once, and the run has not ended."""
    why = "The run was queued because the workspace is at its limit of active task runs."
    run = {"state": {"life_cycle_state": "QUEUED"}, "status": {"queue_details": {"message": why}}}
    answer(site, {"runs/get?": run})
    said: list[str] = []
    work = JobWork(site.workspace(), 7, said.append)
    assert (work.ending(), work.ending()) == (None, None)
    assert said == [f"The job run is queued: {why.lower()}"]


def test_a_job_run_whose_python_cannot_use_dbfs(site: Site) -> None:
    """The error explains errno 95 on /dbfs, and the hint is to keep data in a volume."""
    said = ended(site, "RUN_EXECUTION_ERROR", "OSError: [Errno 95] Operation not supported: '/dbfs/root'")
    assert "Python on this compute cannot use /dbfs. See" in said
    assert "Keep the data in a volume" in said


def test_a_job_run_at_the_end_of_a_quota(site: Site) -> None:
    """Whether the submit is refused or the run ends because of a quota: the hint is to wait."""
    assert "Wait until other runs" in ended(site, "MAX_CONCURRENT_RUNS_EXCEEDED", "Skipped.")
    said = ended(site, "RESOURCE_EXHAUSTED", "The daily quota of serverless compute is reached.")
    assert said.endswith("Wait until other runs have ended or the quota is renewed, then run again.")
    refusal = {"error_code": "QUOTA_EXCEEDED", "message": "The workspace runs 5 tasks already."}
    answer(site, {"runs/submit": (400, refusal)})
    submission = job.Submission(NOTEBOOK, ON_CLUSTER, Compute())
    with pytest.raises(WorkspaceError, match=r"runs 5 tasks already.*Wait until other runs have ended"):
        job.submit(site.workspace(), request(), site.tree(), submission, lambda _: None)


def test_a_job_run_that_databricks_does_not_know_has_failed(site: Site) -> None:
    """A run that was deleted on Databricks counts as failed, instead of being polled forever."""
    ending = JobWork(site.workspace(), 999).ending()
    assert ending is not None
    assert (ending.outcome, "999" in ending.error) == ("failed", True)


def test_a_job_run_whose_task_says_nothing_is_told_by_its_state(site: Site) -> None:
    """If the task's output cannot be read, the error has the state and message of the run."""
    said = ended(site, "TIMEDOUT", "It took too long.", output=(400, {"error_code": "X", "message": "No."}))
    assert said.startswith("TIMEDOUT: It took too long. See ")


def deployed(**changes: Any) -> dict[str, Any]:
    """Return the wanted settings of a job."""
    task = {"task_key": "kedro", "notebook_task": {"notebook_path": "/Users/user@example.com/x"}}
    given = {"schedule": None, "tags": {}, **changes}
    return deploy.settings("shop", "tiny-shop", {"tasks": [task]}, **given)


def test_a_deploy_knows_no_one_of_many_jobs_of_a_name(site: Site) -> None:
    """Several jobs have the name, listed on several pages: the error has their number; nothing is changed."""
    there = site.workspace()
    for _ in range(27):
        there.client.api_client.do("POST", f"{job.API}/create", body=deployed())
    with pytest.raises(WorkspaceError, match=r"There are 27 jobs called 'shop' .*Delete all but one"):
        deploy.plan(there, deployed(), force=True)


def test_a_deploy_reads_back_what_it_wrote(site: Site) -> None:
    """Databricks accepts an update without applying it: deploy fails; the same plan succeeds later."""
    there = site.workspace()
    number = deploy.perform(there, deploy.plan(there, deployed(), force=False))
    planned = deploy.plan(there, deployed(tags={"team": "a"}), force=False)
    answer(site, {"jobs/update": {}})
    with pytest.raises(WorkspaceError, match=rf"the job 'shop' \({number}\), but returns another tags"):
        deploy.perform(there, planned)
    site.line.forget()
    deploy.perform(there, planned)
    assert deploy.plan(there, deployed(tags={"team": "a"}), force=False).is_done


def test_libraries_that_one_may_not_see_are_not_waited_for(site: Site) -> None:
    """If the user may not list the cluster's libraries, the run does not wait for them."""
    answer(site, {"libraries/": (403, {"error_code": "PERMISSION_DENIED", "message": "Not yours."})})
    clusters.wait_for_libraries(site.workspace(), SMALL, pytest.fail)


def test_a_library_that_failed_is_told_beside_those_that_did_not(site: Site) -> None:
    """A library that failed is named with the cluster's message, on one line; installed ones are not."""
    statuses = [
        {"library": {"pypi": {"package": "fine"}}, "status": "INSTALLED"},
        {"library": {"whl": "/x/mine.whl"}, "status": "FAILED", "messages": ["No such\n file"]},
    ]
    answer(site, {"libraries/": {"cluster_id": "1-small", "library_statuses": statuses}})
    said: list[str] = []
    clusters.wait_for_libraries(site.workspace(), SMALL, said.append)
    assert said == ["The cluster small could not install its library /x/mine.whl: No such file"]


def test_a_context_that_is_gone_is_ended_already(site: Site) -> None:
    """Destroying a context that no longer exists is no error; its command counts as ended."""
    gone = Context(site.workspace(), SMALL, "gone")
    gone.destroy()
    assert not gone.is_running()
    ending = CommandWork(gone, "1").ending()
    assert ending is not None
    assert ending.error == "The Python process on the cluster ended before the run did."


def test_a_context_in_error_says_where_to_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status that the SDK does not know counts as Error; the hint names the cluster's or sandbox's log."""
    answer(site, {"contexts/status": {"id": "x", "status": "Strange"}})
    there = site.workspace()
    with pytest.raises(ComputeError, match=r"status Error\).*See server.log in the folder"):
        Context(there, SMALL, "x").wait()
    monkeypatch.setattr(workspace.Workspace, "is_local", False)
    with pytest.raises(ComputeError, match=r"status Error\).*See the cluster's driver log"):
        Context(there, SMALL, "x").wait()


def test_a_command_that_does_not_end_is_told(site: Site) -> None:
    """A command still runs after its context was destroyed: an error. Status 500 is an error, not an end."""
    work = CommandWork(Context(site.workspace(seconds=1), SMALL, "x"), "1")
    answer(site, {"contexts/destroy": {}, "commands/status": {"id": "1", "status": "Running"}})
    with pytest.raises(ComputeError, match="The Python process on the cluster small did not end"):
        work.abandon()
    answer(site, {"commands/status": (500, {"error_code": "INTERNAL_ERROR", "message": "Oops."})})
    with pytest.raises(WorkspaceError, match="Oops"):
        work.ending()


def test_a_cluster_that_runs_is_not_talked_of(site: Site) -> None:
    """A running cluster is used without any message."""
    answer(site, {"clusters/get": {"cluster_id": "1-small", "state": "RUNNING"}})
    clusters.ensure_running(site.workspace(), SMALL, pytest.fail)


def test_a_cluster_that_somebody_else_starts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start is refused because the cluster is starting already: the run waits for it."""
    monkeypatch.setattr(clusters, "_POLL_SECONDS", (0.01, 0.01))
    states = iter(["TERMINATED", "PENDING", "RUNNING"])
    refusal = {"error_code": "INVALID_STATE", "message": "Cluster 1-small is in unexpected state Pending."}

    def fault(request: Request) -> Fault:
        if "clusters/start" in request.line:
            site.line.says = json.dumps(refusal).encode()
            return 400
        if "clusters/get" in request.line:
            site.line.says = json.dumps({"cluster_id": "1-small", "state": next(states)}).encode()
            return 200
        return None

    site.line.fault = fault
    said: list[str] = []
    clusters.ensure_running(site.workspace(), SMALL, said.append)
    assert [line.partition("(")[0] for line in said] == [
        "Cluster small is starting",
        "Cluster small is pending",
        "Cluster small is running ",
    ]


def test_libraries_that_do_not_get_installed_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library is still pending after the time limit: the error names it."""
    monkeypatch.setattr(clusters, "_LIBRARY_MINUTES", 0)
    library = {"library": {"jar": "x.jar"}, "status": "PENDING"}
    answer(site, {"cluster-status": {"library_statuses": [library]}})
    with pytest.raises(ComputeError, match=r"small has not installed x\.jar within 0 minutes.*Remove or"):
        clusters.wait_for_libraries(site.workspace(), SMALL, lambda _: None)


def test_a_cluster_that_takes_too_long_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster is pending until the time limit: its state is printed once, then an error follows."""
    monkeypatch.setattr(clusters, "_START_MINUTES", 0.005)
    monkeypatch.setattr(clusters, "_POLL_SECONDS", (0.1, 0.1))
    answer(site, {"clusters/get": {"cluster_id": "1-small", "state": "PENDING", "state_message": "Finding"}})
    said: list[str] = []
    with pytest.raises(ComputeError, match=r"The cluster small did not start within 0\.005 minutes"):
        clusters.ensure_running(site.workspace(), SMALL, said.append)
    assert said == ["Cluster small is pending: Finding"]


def test_ones_own_last_run_is_found_behind_those_of_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's last run is found after newer runs of others; a user without any run gets an error."""
    monkeypatch.setattr(history, "CONCURRENCY", 2)
    runs = {f"20261124-{number}": "them" for number in range(5)} | {"20261123-1": "me"}
    fill(
        site.folder() / RUNS_FOLDER,
        {f"{name}/run.json": json.dumps({"user": user}).encode() for name, user in runs.items()},
    )
    assert history.find(site.tree(), None, "me").run_id == "20261123-1"
    with pytest.raises(NotFoundError, match="You have no run with a log"):
        history.find(site.tree(), None, "nobody")


def test_runs_that_cannot_be_read_hide_no_others(site: Site) -> None:
    """Runs with damaged files are listed as unreadable; opening one gives an error with the file."""
    for number, (run, end) in enumerate([(b"{", None), (b'{"user": 5}', None), (b"{}", b"[]")]):
        files = {f"20261124-{number}/run.json": run, f"20261124-{number}/end.json": end}
        fill(site.folder() / RUNS_FOLDER, {name: content for name, content in files.items() if content})
    fill(site.folder() / RUNS_FOLDER, {"20261123-1/run.json": b'{"user": "me"}'})
    found = {run.run_id: run.outcome for run in history.latest(site.tree(), 9)}
    assert found == {**{f"20261124-{number}": "unreadable" for number in range(3)}, "20261123-1": "no end"}
    assert history.find(site.tree(), None, "me").run_id == "20261123-1"
    with pytest.raises(RunError, match=r"/20261124-1/run\.json is not what a run writes: it has user"):
        history.find(site.tree(), "20261124-1", "me")


def test_a_login_that_is_nobodys_is_refused(site: Site) -> None:
    """Databricks returns no user name: the login is refused."""
    answer(site, {"scim/v2/Me": {}})
    with pytest.raises(LoginError, match="accepted the login but did not return a user name"):
        workspace.connect_with(site.line.url, site.sandbox.user.token)


def test_a_login_that_ran_out_is_told_as_such(site: Site) -> None:
    """A token expires between two requests: a LoginError with Databricks' message, whatever the request."""
    there = site.workspace()
    answer(site, {"/": (401, {"error_code": "UNAUTHENTICATED", "message": "Token expired."})})
    with pytest.raises(
        LoginError, match=r"read the state of the cluster small: .*not accept .*Token expired"
    ):
        clusters.details(there, SMALL)


def test_an_error_of_ours_stays_what_it_is() -> None:
    """An error that was already translated is not translated again by an outer step."""
    with (
        pytest.raises(ConnectionFailedError, match=r"^Could not do this: no answer"),
        workspace.translated("do that"),
        workspace.translated("do this"),
    ):
        raise TimeoutError


class Python:
    """An execution context whose commands return the given answers in order.

    Args:
        answers: For each command: whether it succeeds, and its text.

    Attributes:
        is_cut: Whether each text is marked as cut.
    """

    is_cut = False

    context_id = "x"
    cluster = SMALL

    def __init__(self, there: workspace.Workspace, *answers: tuple[bool, str]) -> None:
        self.workspace = there
        self.answers = list(answers)
        self.commands: list[str] = []

    def run(self, text: str) -> CommandResult:
        """Record a command and return the next answer."""
        self.commands.append(text)
        well, said = self.answers.pop(0)
        return CommandResult(ended=True, succeeded=well, text=said, is_cut=self.is_cut)

    def wait(self) -> None:
        """Return at once."""


def install(site: Site, text: bytes, options: str, *answers: tuple[bool, str]) -> tuple[list[str], list[str]]:
    """Install requirements in a context; return the printed messages and the commands."""
    answer(
        site, {"clusters/get": {"cluster_id": "1", "state": "RUNNING", "spark_version": "17.3.x-scala2.13"}}
    )
    wanted = find_requirements(PurePosixPath("/x"), MemoryFiles({"requirements.txt": text}), options)
    assert wanted is not None
    python, said = Python(site.workspace(), *answers), list[str]()
    run_install.install(python, wanted, said.append)  # type: ignore[arg-type]
    return said, python.commands


def test_what_replaces_the_runtimes_own_is_said_before(site: Site) -> None:
    """A requirement replaces a package of the runtime: it is named and installed, and Python restarts."""
    said, commands = install(
        site, b"pandas==1.0.0\n", "", (True, "Successfully installed pandas-1.0.0"), (True, "")
    )
    assert said[0].startswith("Note: ")
    assert "pandas" in said[0]
    assert commands[-1] == "dbutils.library.restartPython()"


def test_pip_whose_output_is_cut_may_have_installed_something(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python restarts if pip's output was cut, but not if the whole output names no installed package."""
    for is_cut in (False, True):
        monkeypatch.setattr(Python, "is_cut", is_cut)
        _, commands = install(site, b"tidy\n", "", (True, "Collecting tidy"), (True, ""))
        assert (commands[-1] == "dbutils.library.restartPython()") is is_cut


def test_a_secret_for_pip_that_cannot_be_read_is_told(site: Site) -> None:
    """A secret in pip_options cannot be read: the error has the traceback's last line; pip is not run."""
    options = "--index-url https://{{secrets/pip/token}}@host/simple"
    with pytest.raises(
        RunError, match=r"Could not read a secret of compute.pip_options: Secret does not exist.*list-s"
    ):
        install(site, b"tidy\n", options, (False, "Traceback\n  ...\nSecret does not exist"))


CONFLICT = """\
INFO: pip is looking at multiple versions
ERROR: Cannot install kedro==0.19.15 and tidy because these package versions have conflicting dependencies.

The conflict is caused by:
    The user requested kedro==0.19.15
    tidy 1.0 depends on kedro>=1

To fix this you could try to:
1. loosen the range of package versions you've specified

ERROR: ResolutionImpossible: for help visit https://example.com/
"""
CONFLICT_TOLD = (
    "Cannot install kedro==0.19.15 and tidy because these package versions have conflicting dependencies. "
    "The user requested kedro==0.19.15. tidy 1.0 depends on kedro>=1"
)


@pytest.mark.parametrize(
    ("first", "why", "told"),
    [
        ("ERROR: no", "ERROR: No matching distribution\nmore", "No matching distribution"),
        ("ERROR: broken", "", "broken"),
        ("a\nCalledProcessError", "fine", "CalledProcessError"),
        ("", "", "it gave no reason"),
        ("a\rb\r\x1b[31mERROR: red\x1b[0m\x1b[?25h\r\n", "", "red"),
        ("x", CONFLICT, CONFLICT_TOLD),
    ],
)
def test_why_pip_failed_is_told_as_well_as_it_is_known(site: Site, first: str, why: str, told: str) -> None:
    """The error has pip's ERROR lines, else the last line of the command's output."""
    expected = rf"pip could not install /x/requirements.txt: {re.escape(told)}\. Fix"
    with pytest.raises(RunError, match=expected):
        install(site, b"tidy\n", "", (False, first), (True, why))


def test_spark_that_a_package_brings_is_told(site: Site) -> None:
    """A package brings PySpark as a dependency: a message says that it replaces the runtime's."""
    installed = "\x1b[32mSuccessfully installed tidy-1.0 PySpark-4.0.1\x1b[0m"
    said, _ = install(site, b"tidy\n", "", (True, installed), (True, ""))
    assert [line for line in said if "PySpark-4.0.1" in line and "over the runtime's own" in line]


def test_words_of_a_refusal_are_databricks_own() -> None:
    """The error contains Databricks' message, not the name of the SDK's exception."""
    with (
        pytest.raises(WorkspaceError, match=r"^Could not look: You may not look"),
        workspace.translated("look"),
    ):
        raise PermissionDenied("You may not look")
