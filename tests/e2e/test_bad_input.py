"""Users' mistakes: each ends with exit status 1 and one line with the next step, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import NotFound

from kedro_databricks_hybrid.sandbox import connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"


def assert_nothing_there(shell: Shell, name: str) -> None:
    """Check that neither the remote nor the workspace has anything of a project."""
    assert shell.ok("git ls-remote origin").out == ""
    with pytest.raises(NotFound):
        shell.client().workspace.get_status(f"/Repos/user@example.com/{name}")


def test_without_a_login(tiny: Callable[[str], Shell]) -> None:
    """Push without a profile or login variables: the error names ways to log in, and nothing is pushed."""
    shell = tiny("no-login")
    shell.fails("kedro databricks push", "No Databricks login was found", "databricks auth login")
    assert_nothing_there(shell, "no-login")


def test_with_an_unknown_profile(tiny: Callable[[str], Shell], tmp_path: Path) -> None:
    """Push with a profile that the file does not contain: the error names the profile and the option."""
    file = tmp_path / "databrickscfg"
    file.write_text("[other]\nhost = https://example.com\ntoken = x\n")
    tiny("no-profile").fails(
        "kedro databricks push --profile=missing", "'missing'", "--profile", DATABRICKS_CONFIG_FILE=str(file)
    )


def test_with_a_wrong_token(tiny: Callable[[str], Shell], sandbox_home: Path) -> None:
    """Push with a wrong token: the error says that it is refused, and the output does not contain it."""
    shell = tiny("wrong-token")
    running = connection.read(sandbox_home)
    assert running is not None
    result = shell.fails(
        "kedro databricks push",
        "does not accept the login",
        "databricks auth login",
        DATABRICKS_HOST=running.host,
        DATABRICKS_TOKEN="dapi-of-someone-else",
    )
    assert "dapi-of-someone-else" not in result.out + result.err
    assert_nothing_there(shell, "wrong-token")


def test_without_a_network(tiny: Callable[[str], Shell]) -> None:
    """Push to a host that does not answer: the error names the host and says to check the network."""
    shell = tiny("no-network")
    shell.fails(
        "kedro databricks push",
        "http://127.0.0.1:9",
        "no answer",
        "network",
        DATABRICKS_HOST="http://127.0.0.1:9",
        DATABRICKS_TOKEN="dapi0",
    )
    assert_nothing_there(shell, "no-network")


def test_while_the_sandbox_does_not_run(tiny: Callable[[str], Shell], tmp_path: Path) -> None:
    """Use the profile `sandbox` while no sandbox runs: the error has the command that starts one."""
    tiny("no-sandbox").fails(
        f"kedro databricks push {PROFILE}",
        "not running",
        "kedro databricks sandbox start",
        KEDRO_DATABRICKS_SANDBOX_HOME=str(tmp_path / "elsewhere"),
    )


def test_run_and_pull_before_the_first_push(tiny: Callable[[str], Shell]) -> None:
    """Run and pull before the first push: the error says that push creates the Git folder."""
    shell = tiny("no-folder")
    for verb in ("run", "pull"):
        shell.fails(
            f"kedro databricks {verb} {PROFILE}",
            "There is no Git folder /Workspace/Repos/user@example.com/no-folder",
            f"kedro databricks push {PROFILE}",
        )


def test_outside_a_repository(tiny: Callable[[str], Shell]) -> None:
    """Push a project that is not in a Git repository: the error says to run `git init`."""
    shell = tiny("no-repository")
    shell.ok("rm -rf .git")
    shell.fails(f"kedro databricks push {PROFILE}", "not in a Git repository", "git init")


def test_without_a_commit(tiny: Callable[[str], Shell]) -> None:
    """Push a repository without a commit: the error says to commit."""
    shell = tiny("no-commit")
    shell.ok("git update-ref -d HEAD")
    shell.fails(f"kedro databricks push {PROFILE}", "no commit yet", "git commit")


def test_without_a_remote(tiny: Callable[[str], Shell]) -> None:
    """Push without a Git remote: the error says to add one, since Databricks clones from it."""
    shell = tiny("no-remote")
    shell.ok("git remote remove origin")
    shell.fails(f"kedro databricks push {PROFILE}", "no Git remote called 'origin'", "git remote add origin")


def test_with_a_detached_head(tiny: Callable[[str], Shell]) -> None:
    """Push with a detached HEAD: the error says to switch to a branch, and nothing is pushed."""
    shell = tiny("detached")
    shell.ok("git checkout -q --detach")
    shell.fails(f"kedro databricks push {PROFILE}", "detached HEAD", "git switch")
    assert_nothing_there(shell, "detached")


def test_with_a_remote_that_has_moved_on(tiny: Callable[[str], Shell], tmp_path: Path) -> None:
    """Push after a colleague pushed: the error says to rebase, and the Git folder keeps its commit."""
    shell = tiny("rejected")
    shell.ok(f"kedro databricks push --no-data {PROFILE}")
    before = shell.ok("git rev-parse HEAD").out.strip()
    shell.ok(f"git clone -q {tmp_path / 'rejected.git'} {tmp_path / 'colleague'}")
    for command in ('commit -q --allow-empty -m "Theirs"', "push -q origin main"):
        shell.ok(f"git -C {tmp_path / 'colleague'} {command}")
    shell.ok('git commit -q --allow-empty -m "Mine"')
    shell.fails(f"kedro databricks push {PROFILE}", "git push of 'main'", "git pull --rebase")
    status = shell.client().workspace.get_status("/Repos/user@example.com/rejected")
    assert shell.client().repos.get(status.object_id or 0).head_commit_id == before


def test_with_uncommitted_edits(tiny: Callable[[str], Shell]) -> None:
    """Push and run with an uncommitted edit: both name the edited file, and the commit is what runs."""
    shell = tiny("edited")
    catalog = shell.folder / "src" / "tiny_shop" / "pipeline_registry.py"
    catalog.write_text(catalog.read_text().replace("raw * 2", "raw * 1000"))
    pushed = shell.ok(f"kedro databricks push {PROFILE}")
    ran = shell.ok(f"kedro databricks run {PROFILE}")
    for result in (pushed, ran):
        assert "1 uncommitted edit: src/tiny_shop/pipeline_registry.py" in result.err
    written = shell.client().dbfs.read("/root/projects/edited/data/02_intermediate/doubled.csv")
    import base64

    assert base64.b64decode(written.data or "") == b"a,b\n2,4\n6,8\n"


def test_with_an_unknown_cluster(tiny: Callable[[str], Shell]) -> None:
    """Run on a cluster that does not exist: the error names the existing clusters."""
    shell = tiny("which-cluster")
    shell.ok(f"kedro databricks push --no-data {PROFILE}")
    shell.fails(
        f"kedro databricks run --cluster=nonesuch {PROFILE}", "'nonesuch'", "sandbox-stopped", "--cluster"
    )


def test_with_a_cluster_that_cannot_start(tiny: Callable[[str], Shell]) -> None:
    """Run on a cluster that cannot start: the error contains Databricks' reason."""
    shell = tiny("no-start")
    shell.ok(f"kedro databricks push --no-data {PROFILE}")
    clusters = shell.client().clusters
    made = clusters.create(
        spark_version="17.3.x-scala2.13",
        cluster_name="broken",
        num_workers=0,
        node_type_id="sandbox",
        custom_tags={"sandbox-start-failure": "CLOUD_PROVIDER_LAUNCH_FAILURE"},
    )
    try:
        shell.fails(
            f"kedro databricks run --cluster=broken {PROFILE}",
            "broken did not start",
            "CLOUD_PROVIDER_LAUNCH_FAILURE",
        )
    finally:
        clusters.permanent_delete(made.cluster_id)


def test_with_an_env_that_does_not_exist(tiny: Callable[[str], Shell]) -> None:
    """Push and run with a misspelt env: the error names the nearest env, and nothing is pushed."""
    shell = tiny("no-env")
    for verb in ("push", "run"):
        shell.fails(f"kedro databricks {verb} --env=databrick {PROFILE}", "databrick", "databricks")
    assert_nothing_there(shell, "no-env")


def test_with_a_setting_that_does_not_exist(tiny: Callable[[str], Shell]) -> None:
    """Push with a misspelt setting: the error names the file, the setting and the right spelling."""
    shell = tiny("misspelt")
    (shell.folder / "conf" / "base" / "databricks.yml").write_text("compute:\n  clustre: sandbox\n")
    shell.fails(f"kedro databricks push {PROFILE}", "conf/base/databricks.yml", "clustre", "cluster")


def test_with_a_disk_that_takes_no_more(tiny: Callable[[str], Shell]) -> None:
    """Push data when no file can be written: one line with the system's error; then the push works again."""
    shell = tiny("full-disk")
    push = f"kedro databricks data push --all {PROFILE}"
    shell.ok(push)
    (shell.folder / "data/01_raw/large.bin").write_bytes(bytes(30_000_000))
    measuring = "-u COVERAGE_PROCESS_START -u COVERAGE_PROCESS_CONFIG"  # coverage.py would write files too
    shell.installed = True  # a forked command would not have the limit
    shell.fails(f"env {measuring} bash -c 'ulimit -f 0; exec {push}'", "File too large")
    shell.installed = False
    shell.ok(push)
    assert shell.client().dbfs.get_status("/root/projects/full-disk/data/01_raw/large.bin").file_size == 3e7


def test_usage_errors_exit_with_2(tiny: Callable[[str], Shell]) -> None:
    """Give options that exclude each other: the exit status is 2."""
    result = tiny("usage").run("kedro databricks push --no-data --all-data")
    assert result.status == 2, str(result)
