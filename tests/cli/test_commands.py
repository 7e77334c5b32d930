"""Options that exclude each other, and rare output of the commands."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from kedro_databricks_hybrid.cli import databricks, follow, output
from kedro_databricks_hybrid.cli.options import Command, log_in, say
from kedro_databricks_hybrid.cli.output import log_printer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.site import Site

CODE = "code:\n  folder: /Workspace/Repos/{user}/tiny\n"
DATA = "root/projects/tiny/data"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("data push --force --theirs", "--force and --theirs exclude each other"),
        ("data pull --force --mine", "--force and --mine exclude each other"),
        ("data push --all 01_raw", "PATHS, --pipelines and --all exclude each other"),
        ("run --serverless --cluster=x", "--serverless and --cluster exclude each other"),
        ("run --cluster=", "--cluster is empty. Give it a value or leave it out."),
        ("run --pipeline=a --pipelines=b", "--pipeline and --pipelines exclude each other"),
        ("run --connect --detach", "does not support --detach"),
        ("deploy --serverless --cluster=x", "--serverless and --cluster exclude each other"),
        ("push --wip --branch=x", "choose one"),
    ],
)
def test_options_that_exclude_each_other(site: Site, command: str, words: str) -> None:
    """The message names them, and no request is sent to Databricks."""
    assert words in " ".join(site.call(*command.split(), status=2).output.split())
    assert site.requests == []


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ("push", 1, "is not in a Kedro project. cd into one of: one, shop/two."),
        ("push --help", 0, "Push the current commit"),
        ("sandbox --help", 0, "A local workspace"),
        ("--version", 0, "kedro-databricks-hybrid "),
        ("statsu", 2, "No such command 'statsu'. Did you mean 'status'?"),
        ("xyz", 2, "No such command 'xyz'.\n"),
        ("sandbox statsu", 2, "No such command 'statsu'. Did you mean 'status'?"),
    ],
)
def test_outside_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, status: int, words: str
) -> None:
    """A command that needs a project names those nearby; the others work."""
    for path in ("one", "shop/two", "shop/library"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "pyproject.toml").write_text("" if path.endswith("library") else "[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(databricks, arguments.split())
    assert told.exit_code == status, told.output
    assert words in told.output


def test_options_that_are_for_commits(site: Site) -> None:
    """With code.sync: files, push has no branch, and there are no edits in a Git folder to save."""
    site.write({"conf/base/databricks.yml": f"{CODE}  sync: files\n"})
    assert "sends the working tree as it is" in site.call("push", "--wip", status=2).output


def test_a_job_at_a_commit_needs_commits(pushed: Site) -> None:
    """With code.sync: files there is no commit to run; the message names the settings to change."""
    pushed.write({"conf/base/databricks.yml": f"{CODE}  sync: files\n  job_source: git_source\n"})
    pushed.call("push", "--no-data")
    said = pushed.call("run", "--job", "--cluster=sandbox", status=1).output
    assert "Set code.job_source to git_folder, or code.sync to git." in said


def test_the_address_that_is_pushed_to_is_told(site: Site) -> None:
    """code.url differs from the remote: the output has the address to push to and the one to clone."""
    address = "https://gitlab.example.com/team/tiny.git"
    site.write({"conf/base/databricks.yml": f"{CODE}  url: {address}\n"})
    said = site.call("push", "--no-data", "--dry-run").output
    assert f"Would push main to {site.remote}\n" in said
    assert f"Would clone {address} into" in said


def test_names_from_databricks_cannot_steer_the_terminal(pushed: Site) -> None:
    """Control characters in the names of files are printed as escapes."""
    folder = pushed.sandbox.layout.dbfs / DATA / "08_reporting"
    folder.mkdir(parents=True)
    (folder / "a\x1b[31m\rb.csv").write_text("x")
    told = pushed.call("data", "ls").stdout
    assert "\x1b" not in told
    assert "08_reporting/a\\x1b[31m\\rb.csv" in told


def test_what_a_push_would_do(pushed: Site) -> None:
    """`push --dry-run` says that all is up to date, or with --wip names the edits and the branch."""
    said = pushed.call("push", "--no-data", "--dry-run").output
    assert "is up to date." in said
    assert f"on main in {pushed.path}" in said
    pushed.write({"requirements.txt": "kedro\nnumpy\n"})
    told = pushed.call("push", "--no-data", "--wip", "--dry-run", "--json")
    assert "with your 1 uncommitted edit: requirements.txt" in told.stderr
    assert json.loads(told.stdout)["branch"] == "kedro-hybrid/user@example.com/main"
    assert pushed.git("for-each-ref", "refs/kedro-hybrid") == ""


def test_a_local_branch_that_is_not_there(site: Site) -> None:
    """Push refuses a missing local branch, and a remote of an unknown provider, before it pushes."""
    assert "no local branch 'nope'" in site.call("push", "--branch=nope", status=1).output
    site.git("remote", "set-url", "origin", "https://git.example.com/team/x.git")
    assert "code.provider" in site.call("push", status=1).output


def test_data_for_programs(site: Site) -> None:
    """Each command prints one line of JSON; a dry run names the files."""
    told = json.loads(site.call("data", "push", "--json").stdout)
    assert (told["dry_run"], told["sent"]) == (False, 1)
    made = site.sandbox.layout.dbfs / DATA / "02_intermediate/doubled.csv"
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text("a,b\n2,4\n")
    would = site.call("data", "pull", "--all", "--dry-run", "--json")
    assert json.loads(would.stdout)["take"] == ["02_intermediate/doubled.csv"]
    assert "Would download 02_intermediate/doubled.csv (8 B)" in would.stderr
    told = json.loads(site.call("data", "pull", "--pipelines=__default__", "--json").stdout)
    assert (told["received"], told["kept"]) == (1, [])
    assert (site.project / "data/02_intermediate/doubled.csv").read_text() == "a,b\n2,4\n"


def test_results_of_a_run_that_left_none(site: Site) -> None:
    """Results of a run that was cancelled early are skipped; without any results, a warning says so."""
    site.call("data", "push")
    log = site.sandbox.layout.dbfs / DATA / ".kedro-hybrid/runs/20260101-000000-aaaaaa"
    log.mkdir(parents=True)
    record = {"n": 1, "t": 1.0, "event": "end", "outcome": "cancelled", "seconds": 1.0}
    (log / "000001.jsonl").write_text(json.dumps(record) + "\n")
    assert "has none of these files yet" in site.call("data", "pull").output


def test_the_log_of_a_run_without_an_end(site: Site) -> None:
    """`logs` of a run without an end record prints the log so far, says that it has not ended, status 0."""
    log = site.sandbox.layout.dbfs / DATA / ".kedro-hybrid/runs/20260101-000000-aaaaaa"
    log.mkdir(parents=True)
    (log / "run.json").write_text(json.dumps({"user": "user@example.com", "commit": "0" * 40}))
    (log / "000001.jsonl").write_text(
        json.dumps({"n": 1, "t": 1.0, "event": "output", "text": "hi\n"}) + "\n"
    )
    said = site.call("logs").output
    assert "hi\n" in said
    assert "(The log of 20260101-000000-aaaaaa has no end yet.)" in said


def test_results_of_a_project_that_cannot_be_loaded(site: Site) -> None:
    """The whole data folder can be sent, with a warning that results are not protected."""
    site.write({"src/tiny_shop/pipeline_registry.py": "import nowhere_at_all\n"})
    said = site.call("data", "push", "--all").output
    assert "protected only if both sides changed" in said
    assert (site.sandbox.layout.dbfs / DATA / "01_raw/raw.csv").is_file()


def test_a_path_that_is_on_neither_side(site: Site) -> None:
    """It is an error, so that a mistyped path is not taken for an empty folder."""
    assert "01_row is neither here nor in dbfs:/root" in site.call("data", "ls", "01_row", status=1).output
    assert "01_raw/raw.csv" in site.call("data", "ls", "01_raw").output


def test_part_files_are_one_line(site: Site) -> None:
    """What a push would send names a folder that Spark wrote, not each of its files."""
    site.write({f"data/05_model_input/table/part-{number}": "x\n" for number in range(3)})
    said = site.call("data", "push", "05_model_input", "--dry-run").output
    assert "Would send 05_model_input/table/ (3 files, 6 B, only here)\n" in said
    assert "part-" not in said


def test_json_is_alone_on_stdout(site: Site) -> None:
    """What the project logs while it is loaded goes to stderr, and without --json to stdout."""
    site.write({"src/tiny_shop/noise.py": "import logging\nlogging.getLogger('kedro').warning('noise')\n"})
    registry = site.project / "src/tiny_shop/pipeline_registry.py"
    registry.write_text(f"import tiny_shop.noise\n{registry.read_text()}")
    arguments = ("catalog", "--pipelines=__default__")
    told = site.call(*arguments, "--json")
    assert json.loads(told.stdout)[0]["dataset"]
    assert "noise" in told.stderr
    assert "noise" in site.call(*arguments).stdout


def test_a_command_that_another_one_calls_leaves_stdout_for_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As `run --push --json` does: the option of the outer command counts."""
    outer = click.Context(click.Command("run"))
    outer.params["as_json"] = True
    with outer, click.Context(click.Command("push"), parent=outer):
        say("Pushed")
    assert capsys.readouterr() == ("", "Pushed\n")


def test_one_login_for_a_command_and_those_that_it_calls(site: Site) -> None:
    """`run --push` logs in once; another command logs in again."""
    outer = click.Context(click.Command("run"))
    with outer:
        first = log_in(None)
        with click.Context(click.Command("push"), parent=outer):
            assert log_in(None) is first
    with click.Context(click.Command("run")):
        assert log_in(None) is not first


@pytest.mark.parametrize("terminal", [False, True])
def test_a_traceback_in_the_log(capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    """A traceback is printed after its log record, on a terminal and elsewhere."""
    record = {"event": "log", "t": 1.0, "level": 40, "name": "x", "message": "broken", "path": "/a/b.py"}
    log_printer(terminal=terminal)({**record, "line": 3, "traceback": "Traceback ...\nOops\n\n"})
    assert capsys.readouterr().out.rstrip().endswith("Traceback ...\nOops")


def test_a_bar_before_it_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    """A transfer that fails before it begins prints nothing."""
    bar = output.ProgressBars("Sending")
    bar.show()
    bar.end()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("c", "cancel"), ("C\n", "cancel"), ("cancel", "cancel"), ("d", "detach"), (" ", "detach"), ("x", None)],
)
def test_answers_to_the_question_of_ctrl_c(typed: str, answer: str | None) -> None:
    """A letter is enough; anything else is asked again."""
    if answer:
        assert follow._answer(typed) == answer  # noqa: SLF001 - typed at a terminal in tests/e2e
    else:
        with pytest.raises(click.BadParameter):
            follow._answer(typed)  # noqa: SLF001


class TestDeploy:
    """What deploy prints, without running the job."""

    @pytest.fixture
    def prepared(self, pushed: Site) -> Site:
        """Return a site whose commit contains the notebook for jobs."""
        pushed.call("notebook")
        pushed.commit({"requirements.txt": "kedro\nkedro-databricks-hybrid\n"})
        pushed.call("push", "--no-data")
        return pushed

    def test_what_would_be_created_and_updated(self, prepared: Site) -> None:
        """The plan distinguishes a new job, one that differs, and one that is up to date."""
        assert "Would create this job:" in prepared.call("deploy", "--dry-run").stderr
        assert "Created the job 'tiny-shop'" in prepared.call("deploy").output
        assert "is up to date:" in prepared.call("deploy", "--dry-run").stderr
        schedule = ("--schedule=0 0 6 * * ?", "--tag=team=shop")
        assert "Would update " in prepared.call("deploy", "--dry-run", *schedule).stderr
        assert "Updated the job 'tiny-shop' (" in prepared.call("deploy", *schedule).output
        assert "is up to date: http" in prepared.call("deploy", *schedule).output

    def test_the_remote_has_another_commit(self, prepared: Site) -> None:
        """The job runs the remote's commit, so a warning says to push the local one."""
        prepared.commit({}, "Later")
        said = prepared.call("deploy", "--dry-run").output
        assert "push your commit" in said

    def test_a_job_for_another_env_has_another_name(self, prepared: Site) -> None:
        """The name contains the env, so two envs are two jobs."""
        prepared.commit({"conf/prod/databricks.yml": f"data:\n  root: dbfs:/{DATA}\n"})
        prepared.git("push", "-q", "origin", "main")
        told = json.loads(prepared.call("deploy", "--dry-run", "--env=prod").stdout.splitlines()[-1])
        assert told["name"] == "tiny-shop-prod"

    def test_requirements_that_the_notebook_cannot_install(self, prepared: Site) -> None:
        """Those of pyproject.toml become a library of the job, or its environment on serverless compute."""
        pyproject = (prepared.project / "pyproject.toml").read_text()
        declared = (
            f'{pyproject}[project]\nname = "tiny"\ndependencies = ["kedro", "pyspark", "x @ file:libs/x"]\n'
        )
        prepared.commit({"pyproject.toml": declared, "requirements.txt": None})
        prepared.call("push", "--no-data")
        prepared.call("deploy", "--cluster=sandbox")
        told = json.loads(prepared.call("deploy", "--cluster=sandbox", "--dry-run").stdout.splitlines()[-1])
        (library,) = told["tasks"][0]["libraries"]
        address = f"x @ file://{prepared.path}/libs/x"
        path = prepared.sandbox.layout.workspace / library["requirements"].removeprefix("/Workspace/")
        assert path.read_text() == f"kedro\n# pyspark\n{address}\n"
        prepared.commit({"conf/databricks/databricks.yml": "data:\n  root: /Volumes/main/default/data/x\n"})
        prepared.call("push", "--no-data")
        told = json.loads(prepared.call("deploy", "--serverless", "--dry-run").stdout.splitlines()[-1])
        assert told["environments"][0]["spec"]["dependencies"] == ["kedro", address]

    def test_options_that_say_too_little(self, prepared: Site) -> None:
        """A time zone without a schedule and a tag without a value are refused."""
        assert "needs a --schedule" in prepared.call("deploy", "--timezone=UTC", status=2).output
        assert "KEY=VALUE" in prepared.call("deploy", "--tag=team", status=2).output


def test_a_notebook_of_a_project_that_jobs_cannot_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook is written, with warnings about the missing requirement and the missing login."""
    site.write({"src/tiny_shop/settings.py": "\n", "requirements.txt": "kedro\n"})
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-someone-else")
    said = site.call("notebook").output
    assert "Wrote notebooks/run_on_databricks.py" in said
    assert "add kedro-databricks-hybrid to the project's requirements" in said
    assert "Without a login the notebook's address is unknown." in said


def test_a_catalog_without_datasets_or_that_cannot_be_read(site: Site) -> None:
    """An empty catalog prints one line; a wrong setting is named."""
    site.write({"conf/base/catalog.yml": "_only: {an: anchor}\n"})
    assert "The catalog has no datasets." in site.call("catalog").output
    site.write({"conf/databricks/databricks.yml": "data: {rot: x}\n"})
    assert "Did you mean data.root" in site.call("catalog", status=1).output


def test_a_file_that_may_not_be_written_is_one_line() -> None:
    """A refusal of the operating system is an error with a next step, not a traceback."""

    @click.command(cls=Command)
    def writes() -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), "conf/base/databricks.yml")

    failed = CliRunner().invoke(writes)
    assert failed.exit_code == 1
    assert failed.output == (
        "Error: Operation not permitted (conf/base/databricks.yml). Change its permissions, then try again.\n"
    )
