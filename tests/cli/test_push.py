"""Push: the result is verified, unsupported repositories are refused, and few requests are sent."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.databricks import git_folder
from kedro_databricks_hybrid.errors import WorkspaceError
from tests.project_fixtures import PACKAGE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.site import Site

WIP = "kedro-hybrid/user@example.com/main"


def state(site: Site) -> list[str]:
    """Return the parts of the repository that a snapshot must not change."""
    return [
        site.git("status", "--porcelain"),
        site.git("rev-parse", "HEAD"),
        site.git("for-each-ref", "refs/heads", "refs/stash"),
        site.git("diff", "--cached"),
        site.git("ls-files", "--stage"),
    ]


def test_a_second_push_has_nothing_to_do(site: Site) -> None:
    """A second push says in two lines that nothing is to be done, and sends at most six requests."""
    site.call("push")
    site.requests.clear()
    said = site.call("push").output
    assert "tiny.git is up to date" in said
    assert "Everything in dbfs:/root/projects/tiny/data is up to date" in said
    # The SDK also reads the host's login configuration once.
    assert len([each for each in site.requests if " /api/" in each]) <= 6, site.requests


def test_another_branch_without_leaving_this_one(pushed: Site) -> None:
    """`--branch` pushes a local branch that is not checked out."""
    pushed.git("branch", "feat/x")
    pushed.commit({}, "Later on main")
    said = pushed.call("push", "--no-data", "--branch", "feat/x").output
    assert "(First) on feat/x" in said
    assert (pushed.repo().branch, pushed.repo().head_commit_id) == (
        "feat/x",
        pushed.git("rev-parse", "feat/x"),
    )
    assert pushed.git("branch", "--show-current") == "main"


def test_a_branch_that_is_not_here(site: Site) -> None:
    """The message names it, and no request is sent to Databricks."""
    assert "no local branch 'nope'" in site.call("push", "--branch", "nope", status=1).output
    assert site.requests == []


def test_wip_brings_the_working_tree_and_touches_nothing(pushed: Site) -> None:
    """Changed, new, deleted and staged files arrive; the local index, branch and files do not change."""
    pushed.commit({"gone.txt": "x\n", "with space ä.txt": "1\n"}, "Second")
    pushed.write({"staged.txt": "staged\n"})
    pushed.git("add", "staged.txt")
    pushed.write({"staged.txt": "staged, then edited\n", "-new.txt": "new\n", "with space ä.txt": "2\n"})
    pushed.write({"gone.txt": None, "x.log": "ignored\n"})
    before = state(pushed)
    said = pushed.call("push", "--no-data", "--wip").output
    assert state(pushed) == before
    assert "staged.txt" in said
    assert f"on {WIP}" in said
    assert pushed.repo().branch == WIP
    assert (pushed.files / "staged.txt").read_text() == "staged, then edited\n"
    assert (pushed.files / "-new.txt").read_text() == "new\n"
    assert (pushed.files / "with space ä.txt").read_text() == "2\n"
    assert not (pushed.files / "gone.txt").exists()
    assert not (pushed.files / "x.log").exists()


def test_wip_again_follows_the_edits_and_stands_still_without_any(pushed: Site) -> None:
    """Another snapshot replaces the branch; the same files give the same commit."""
    pushed.write({"a.txt": "1\n"})
    pushed.call("push", "--no-data", "--wip")
    first = pushed.repo().head_commit_id
    pushed.call("push", "--no-data", "--wip")
    assert pushed.repo().head_commit_id == first
    pushed.write({"a.txt": "2\n"})
    pushed.call("push", "--no-data", "--wip")
    assert pushed.repo().head_commit_id != first
    assert (pushed.files / "a.txt").read_text() == "2\n"
    assert pushed.git("rev-parse", f"{pushed.repo().head_commit_id}^") == pushed.git("rev-parse", "HEAD")


def test_a_later_push_cleans_the_snapshot_up(pushed: Site) -> None:
    """A push without --wip removes the snapshot's branch from the remote and locally."""
    pushed.write({"a.txt": "1\n"})
    pushed.call("push", "--no-data", "--wip")
    assert WIP in pushed.git("ls-remote", "origin")
    pushed.commit({}, "Committed")
    said = pushed.call("push", "--no-data").output
    assert f"Removed {WIP}" in said
    assert WIP not in pushed.git("ls-remote", "origin")
    assert "kedro-hybrid" not in pushed.git("for-each-ref")
    assert (pushed.repo().branch, pushed.repo().head_commit_id) == ("main", pushed.git("rev-parse", "HEAD"))


def test_wip_without_edits_is_a_push(pushed: Site) -> None:
    """`push --wip` without edits pushes the commit, and takes no snapshot."""
    pushed.call("push", "--no-data", "--wip")
    assert pushed.repo().branch == "main"


def test_submodules_are_refused(site: Site) -> None:
    """A repository with submodules is refused before anything is pushed."""
    other = site.project.parent / "other"
    site.git("init", "-q", str(other))
    site.git("commit", "-q", "--allow-empty", "-m", "x", at=other)
    site.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "libs/other")
    site.commit({})
    assert "libs/other" in site.call("push", status=1).output
    assert site.git("ls-remote", "origin") == ""


def test_pointers_of_git_lfs_are_mentioned(site: Site) -> None:
    """The pointers are pushed with a warning; a text that quotes one gives no warning."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    site.commit({"models/big model.bin": pointer, "docs.md": pointer + "x" * 2000})
    said = site.call("push", "--no-data").output
    assert "models/big model.bin" in said
    assert "docs.md" not in said


def test_a_force_pushed_remote(pushed: Site) -> None:
    """The history was rewritten: git's message is shown; once the remote has it, the folder follows."""
    pushed.git("commit", "-q", "--amend", "-m", "Rewritten")
    assert "rejected" in pushed.call("push", "--no-data", status=1).output
    pushed.git("push", "-q", "--force", "origin", "main")
    assert "(Rewritten)" in pushed.call("push", "--no-data").output


def test_a_protected_branch(pushed: Site) -> None:
    """The remote protects the branch: its message is shown."""
    hook = pushed.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'main is protected: open a pull request' >&2\nexit 1\n")
    hook.chmod(0o755)
    pushed.commit({}, "Mine")
    assert "main is protected: open a pull request" in pushed.call("push", "--no-data", status=1).output


def test_a_pre_push_hook_that_fails(pushed: Site) -> None:
    """A pre-push hook fails: its output is shown with the next step, and Databricks keeps its commit."""
    before = pushed.repo().head_commit_id
    hook = pushed.project / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'two tests fail' >&2\nexit 1\n")
    hook.chmod(0o755)
    pushed.commit({}, "Mine")
    said = pushed.call("push", "--no-data", status=1).output
    assert "two tests fail" in said
    assert "nothing was changed on Databricks" in said
    assert pushed.repo().head_commit_id == before


def test_two_users_on_one_remote(pushed: Site) -> None:
    """A colleague pushed first: the error says to pull; after that both commits arrive."""
    colleague = pushed.project.parent / "colleague"
    pushed.git("clone", "-q", str(pushed.remote), str(colleague))
    pushed.write({"theirs.txt": "x\n"}, at=colleague)
    pushed.git("add", ".", at=colleague)
    pushed.git("commit", "-q", "-m", "Theirs", at=colleague)
    pushed.git("push", "-q", at=colleague)
    pushed.commit({}, "Mine")
    assert "git pull --rebase origin main" in pushed.call("push", "--no-data", status=1).output
    pushed.git("pull", "-q", "--rebase", "origin", "main")
    pushed.call("push", "--no-data")
    assert (pushed.files / "theirs.txt").exists()


def test_two_users_of_one_workspace(pushed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each user's snapshots of a branch go to that user's branch and Git folder."""
    mine = pushed.repo().head_commit_id
    monkeypatch.setenv("DATABRICKS_TOKEN", pushed.sandbox.users.add("ann@example.com").token)
    pushed.write({"hers.txt": "x\n"})
    said = pushed.call("push", "--no-data", "--wip").output
    assert "on kedro-hybrid/ann@example.com/main in /Workspace/Repos/ann@example.com/tiny" in said
    assert (pushed.files.parent.parent / "ann@example.com" / "tiny" / "hers.txt").exists()
    assert (pushed.repo().branch, pushed.repo().head_commit_id) == ("main", mine)
    assert not (pushed.files / "hers.txt").exists()


def test_from_a_worktree_and_a_subfolder(pushed: Site) -> None:
    """Push a project in a subfolder and in a linked worktree, also as a snapshot."""
    monorepo, tree = pushed.project.parent / "mono", pushed.project.parent / "tree"
    pushed.git("init", "-q", "-b", "main", str(monorepo))
    pushed.git("init", "-q", "--bare", "-b", "main", f"{monorepo}.git")
    pushed.git("remote", "add", "origin", f"{monorepo}.git", at=monorepo)
    (monorepo / "services").mkdir()
    subprocess.run(["cp", "-r", str(pushed.project), str(monorepo / "services" / "tiny")], check=True)
    subprocess.run(["rm", "-rf", str(monorepo / "services" / "tiny" / ".git")], check=True)
    settings = "code:\n  folder: /Workspace/Repos/{user}/mono\n"
    pushed.write({"services/tiny/conf/base/databricks.yml": settings}, at=monorepo)
    pushed.git("add", ".", at=monorepo)
    pushed.git("commit", "-q", "-m", "Mono", at=monorepo)
    pushed.git("worktree", "add", "-q", "-b", "side", str(tree), at=monorepo)
    pushed.project, pushed.name = tree / "services" / "tiny", "mono"
    pushed.write({"new.txt": "x\n"})
    pushed.call("push", "--no-data")
    assert pushed.repo().branch == "side"
    pushed.call("push", "--no-data", "--wip")
    assert (pushed.files / "services" / "tiny" / "new.txt").exists()
    pushed.write({"services/tiny/requirements.txt": "theirs\n"}, at=pushed.files)
    said = pushed.call("push", "--no-data", "--force").output
    assert "services/tiny/requirements.txt" in said


def test_a_stale_answer_is_asked_again(pushed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databricks reports an old commit after the checkout: it is read again until the time limit."""
    monkeypatch.setattr(git_folder, "_READ_BACK_SECONDS", 0.3)
    folder = git_folder.get(pushed.workspace(), PurePosixPath(pushed.path))
    target = git_folder.Target("main", sha="0" * 40)
    with pytest.raises(WorkspaceError, match="instead of 0000000"):
        git_folder.check_out(pushed.workspace(), folder, target)


STEPS_OF_PUSHES = (32, 24)  # the first one clones
SEED = random.randrange(2**32)  # noqa: S311 - printed when a test fails, to repeat it


def killed_at(site: Site, step: int, shims: Path) -> bool:
    """Push in a new process and kill it at a step: a git command that it runs or a request that it sends.

    A shim around git and the server count the steps together; the one that reaches the step kills the push.

    Returns:
        Whether the push reached that step.
    """
    shims.mkdir()
    count, victim = shims / "count", shims / "victim"
    count.touch()
    shim = (
        "#!/bin/sh\n"
        f"echo git >> {count}\n"
        f"[ $(wc -l < {count}) -ge {step} ] && kill -9 -$(cat {victim})\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    (shims / "git").write_text(shim)
    (shims / "git").chmod(0o755)
    script = (
        "import os\nfrom pathlib import Path\nfrom kedro.framework.startup import bootstrap_project\n"
        "from kedro_databricks_hybrid.cli import databricks\n"
        f"Path({str(victim)!r}).write_text(str(os.getpid()))\n"
        f"metadata = bootstrap_project(Path({str(site.project)!r}))\n"
        "databricks(['push', '--wip'], obj=metadata)\n"
    )

    def strike(request: str) -> None:
        with count.open("a") as file:
            file.write("request\n")
        if len(count.read_text().splitlines()) >= step:
            os.killpg(process.pid, signal.SIGKILL)

    site.requests.on_request = strike
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PATH": f"{shims}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    process.wait(timeout=120)
    site.requests.on_request = None
    return process.returncode == -signal.SIGKILL


def test_killed_at_any_moment_the_next_push_arrives(site: Site, tmp_path: Path) -> None:
    """SIGKILL at random steps: no lock is left in the repository, and the next push is verified."""
    chance, killed = random.Random(SEED), 0  # noqa: S311 - a seed, so that a failure can be repeated
    for attempt, steps in enumerate(STEPS_OF_PUSHES):
        site.write({f"src/{PACKAGE}/big.txt": os.urandom(20_000), "data/01_raw/raw.csv": f"a\n{attempt}\n"})
        step = chance.randint(1, steps)
        killed += killed_at(site, step, tmp_path / f"shims-{attempt}")
        where = f"seed {SEED}, attempt {attempt}, step {step}"
        said = site.call("push", "--wip").output
        assert "Databricks has" in said, where
        there = site.files / "src" / PACKAGE / "big.txt"
        assert there.read_bytes() == (site.project / "src" / PACKAGE / "big.txt").read_bytes(), where
        assert list((site.project / ".git").rglob("*.lock")) == [], where
    assert killed, f"seed {SEED}: no push came to its step"
    site.commit({}, "All of it")
    assert "Databricks has" in site.call("push").output
    assert site.repo().head_commit_id == site.git("rev-parse", "HEAD")
    assert WIP not in site.git("ls-remote", "origin")


def test_dry_run_says_what_would_be_done(site: Site) -> None:
    """Remote, Git folder and data root do not change, before the first push and after it."""
    said = site.call("push", "--dry-run").output
    assert "Would push main to" in said
    assert "Would clone" in said
    assert site.git("ls-remote", "origin") == ""
    assert {each.partition(" ")[0] for each in site.requests} == {"GET"}
    site.call("push")
    site.commit({}, "Second")
    said = site.call("push", "--dry-run").output
    assert "Would check out main" in said
    assert "(Second)" not in site.call("status").output.split("Git folder")[1]


def test_an_answer_that_lags_behind(pushed: Site) -> None:
    """Reads that return the previous commit are repeated until the current one is verified."""
    head = pushed.commit({}, "Second")
    fault = pushed.sandbox.faults.add("stale", path="/api/2.0/repos/*", times=2)
    assert "(Second)" in pushed.call("push", "--no-data").output
    assert fault.struck >= 1
    pushed.sandbox.faults.clear()
    assert pushed.repo().head_commit_id == head


def test_a_checkout_whose_answer_is_lost(pushed: Site) -> None:
    """If the connection breaks after the checkout, the request is repeated and the result verified."""
    head = pushed.commit({}, "Second")
    fault = pushed.sandbox.faults.add("reset-after", method="PATCH", path="/api/2.0/repos/*")
    assert "(Second)" in pushed.call("push", "--no-data").output
    assert fault.struck == 1
    assert pushed.repo().head_commit_id == head


def test_a_folder_that_does_not_follow_is_no_success(pushed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the folder stays at another commit, push fails and names both."""
    monkeypatch.setattr(git_folder, "_READ_BACK_SECONDS", 0.5)
    before = pushed.git("rev-parse", "HEAD")
    head = pushed.commit({}, "Second")
    pushed.sandbox.faults.add("stale", path="/api/2.0/repos/*", times=1000)
    assert pushed.repo().head_commit_id == before
    said = pushed.call("push", "--no-data", status=1).output
    assert before in said
    assert head in said
    assert "Databricks has" not in said
