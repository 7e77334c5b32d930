"""A Git folder with programs in its configuration, attributes and hooks: the server runs none of them."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.core.layout import Layout
from kedro_databricks_hybrid.sandbox.repos.git import Ref
from kedro_databricks_hybrid.sandbox.repos.model import Repo, Repos
from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox
from tests.git_programs import SETTINGS, Programs, git, provoke, repository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository whose settings run programs, to be copied."""
    return repository(tmp_path_factory.mktemp("evil") / "evil")


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Return programs that create a file when they run."""
    return Programs(tmp_path / "programs")


@pytest.mark.parametrize("setting", SETTINGS)
def test_git_itself_runs_them(evil: Path, tmp_path: Path, programs: Programs, setting: str) -> None:
    """A plain git would run the programs of the tests below."""
    at = shutil.copytree(evil, tmp_path / "copy", symlinks=True)
    programs.plant(at, {setting})
    provoke(at, setting, programs)
    assert setting in programs.ran()


async def _use(repos: Repos, repo: Repo, tree: Path) -> None:
    """Call every operation on a Git folder, discarding edits."""
    await repos.checkout_of(repo)
    for ref, discard in (
        (Ref.branch("main"), False),
        (Ref.branch("side"), True),
        (Ref.branch("main"), True),
        (Ref.tag("first"), True),
        (Ref.branch("main"), False),
    ):
        await repos.switch(repo, ref, None, discard=discard)
        (tree / "new.evil").write_text("new\n")
    if repo.sparse is not None:
        await repos.set_sparse(repo, ("another",))
    await repos.remove(repo)


@pytest.mark.parametrize("sparse", [None, ("inner", "other")], ids=["whole", "sparse"])
def test_what_a_git_folder_names_does_not_run(
    evil: Path, tmp_path: Path, programs: Programs, sparse: tuple[str, ...] | None
) -> None:
    """No program runs: not from a submodule, a .git at the top, or a remote on this machine."""
    remote = tmp_path / "remote.git"
    git(evil, "tag", "--force", "first", "main~1")
    git(evil, "clone", "-q", "--bare", ".", str(remote))
    repos = Sandbox(Layout(tmp_path / "home")).repos
    repo = Repo(1, ("Repos", "user@example.com", "evil"), str(remote), "gitHub", sparse)
    tree = tmp_path / "home/roots/Workspace" / repo.path.lstrip("/")
    programs.plant(remote, SETTINGS)
    asyncio.run(repos.create(repo, None))
    for place in (tree / "inner", tree):
        shutil.copytree(evil / ".git", place / ".git")
        programs.plant(place, SETTINGS)
    for name in (".gitattributes", "x.evil"):
        shutil.copy(evil / name, tree / "inner" / name)
    # Only a submodule at its commit is looked into, since another one has changed whatever it holds.
    (tree / "inner/.git/HEAD").write_text(git(evil, "rev-parse", "main:inner") + "\n")
    asyncio.run(_use(repos, repo, tree))
    assert programs.ran() == set()
