"""Git folders: rare answers of Databricks, and the errors that they become."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.databricks import git_folder
from kedro_databricks_hybrid.databricks.git_folder import Target
from kedro_databricks_hybrid.errors import NotFoundError, WorkspaceError

if TYPE_CHECKING:
    from tests.site import Site

HOME = PurePosixPath("/Workspace/Users/user@example.com")


def fails(site: Site, message: str, method: str = "PATCH") -> None:
    """Let the next such request to the repos API fail."""
    site.sandbox.faults.add(
        "status", method=method, path="/api/2.0/repos*", status=400, message=message, times=1
    )


def folder_of(site: Site) -> git_folder.GitFolder:
    """Return the site's Git folder."""
    return git_folder.get(site.workspace(), PurePosixPath(site.path))


def test_a_plain_folder_is_no_git_folder(site: Site) -> None:
    """The path is a plain folder: push refuses it and leaves it unchanged."""
    site.workspace().client.workspace.mkdirs(str(HOME / "plain"))
    with pytest.raises(WorkspaceError, match=r"/plain on Databricks is a directory, not a Git folder"):
        git_folder.find(site.workspace(), HOME / "plain")
    site.commit({"conf/base/databricks.yml": f"code:\n  folder: {HOME}/plain\n"})
    assert "Move it away" in site.call("push", "--no-data", status=1).output


@pytest.mark.parametrize("kind", ["guide", "standard"])
def test_a_git_folder_at_home(site: Site, kind: str) -> None:
    """A Git folder in the home folder, listed as REPO or DIRECTORY, is found, updated and saved.

    A folder inside it is not taken for a Git folder.
    """
    site.sandbox.like = kind
    site.commit({"conf/base/databricks.yml": f"code:\n  folder: {HOME}/mine\n"})
    for _ in range(2):
        site.commit({}, "Change")
        assert (
            f"Databricks has {site.repository.head()} on main in {HOME}/mine"
            in site.call("push", "--no-data").output
        )
    found = git_folder.get(site.workspace(), HOME / "mine")
    assert (found.branch, found.sha) == ("main", site.git("rev-parse", "HEAD"))
    with pytest.raises(WorkspaceError, match=r"/mine/conf on Databricks is a directory, not a Git folder"):
        git_folder.find(site.workspace(), HOME / "mine" / "conf")
    files = site.sandbox.layout.workspace / "Users" / "user@example.com" / "mine"
    (files / "requirements.txt").write_text("edited there\n")
    site.commit({"requirements.txt": "edited here\n"})
    assert "requirements.txt" in site.call("push", "--no-data", status=1).output
    site.call("push", "--no-data", "--save", "--force")


def test_a_clone_that_ends_after_its_request(site: Site) -> None:
    """The answer to the clone is lost: the repeated request finds the folder, which is used."""
    site.git("push", "-q", "origin", "main")
    site.sandbox.faults.add("reset-after", method="POST", path="/api/2.0/repos")
    site.call("push", "--no-data")
    assert [each.partition(" ")[0] for each in site.requests if each.endswith("/api/2.0/repos")] == [
        "POST"
    ] * 2
    assert site.repo().head_commit_id == site.git("rev-parse", "HEAD")


def test_a_clone_that_stops_in_the_middle(site: Site) -> None:
    """A clone fails half-way: the incomplete Git folder is deleted, and the next push works."""
    blob = site.git("rev-parse", "HEAD:requirements.txt")
    site.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{'n' * 300}")
    site.git("commit", "-q", "-m", "A name that no disk can hold")
    site.git("push", "-q", "origin", "main")
    said = site.call("push", "--no-data", status=1).output.replace("\n", " ")
    assert "Repo may be incomplete" in said
    assert "The incomplete Git folder was deleted" in said
    assert list(site.workspace().client.repos.list()) == []
    site.git("rm", "-q", "--cached", "n" * 300)
    site.git("commit", "-q", "-m", "Without it")
    assert f"Databricks has {site.repository.head()}" in site.call("push", "--no-data").output


def test_a_git_folder_that_is_gone_while_it_is_read_back(
    pushed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Git folder is deleted after a checkout: polling its commit ends with an error."""
    monkeypatch.setattr(git_folder, "_READ_BACK_SECONDS", 0.2)
    folder = folder_of(pushed)
    pushed.sandbox.faults.add("status", method="GET", path="/api/2.0/repos/*", status=404, times=0)
    with pytest.raises(NotFoundError):
        git_folder.check_out(pushed.workspace(), folder, Target("main"))


@pytest.mark.parametrize("status", [400, 403, 409])
def test_a_refused_checkout_is_explained_by_the_edits(pushed: Site, status: int) -> None:
    """A refused checkout: the error has Databricks' message and, if there are edits, names them."""
    pushed.commit({"a.txt": "a\n"})
    pushed.sandbox.faults.add(
        "status", method="PATCH", path="/api/2.0/repos/*", status=status, message="Nope", times=0
    )
    said = pushed.call("push", "--no-data", status=1).output
    assert "Git folder /Workspace/Repos/user@example.com/tiny:" in said
    assert "Nope" in said
    assert "edits" not in said
    (pushed.files / "requirements.txt").write_text("theirs\n")
    said = pushed.call("push", "--no-data", status=1).output
    edited = "/Workspace/Repos/user@example.com/tiny has edits that a checkout may lose: requirements.txt."
    assert f"Nope. {edited}" in said
    assert "`kedro databricks push --save` saves them as a local branch; nothing was discarded." in said


@pytest.mark.parametrize("status", [404, 500])
def test_a_failure_that_has_nothing_to_do_with_edits(pushed: Site, status: int) -> None:
    """For status 404 and 500, the error has Databricks' message and mentions no edits."""
    pushed.commit({"a.txt": "a\n"})
    (pushed.files / "requirements.txt").write_text("theirs\n")
    pushed.sandbox.faults.add(
        "status", method="PATCH", path="/api/2.0/repos/*", status=status, message="Nope"
    )
    said = pushed.call("push", "--no-data", status=1).output
    assert "Nope" in said
    assert "edits" not in said


def test_a_repository_called_credentials_is_none(site: Site) -> None:
    """A clone fails: only if the credential was refused, the hint is to register a token."""
    url, path = str(site.remote.with_name("credential-store.git")), HOME / "authentication"
    fails(site, "The remote hung up.", "POST")
    with pytest.raises(WorkspaceError) as caught:
        git_folder.create(site.workspace(), path, url=url, provider="gitHub")
    assert caught.value.hint is None
    fails(site, "Invalid credentials for https://example.com/x.git.", "POST")
    with pytest.raises(WorkspaceError) as caught:
        git_folder.create(site.workspace(), path, url=url, provider="gitHub")
    assert "--git-token-env" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("words", "is_refusal"),
    [
        ("clone https://example.com/credentials.git: timed out", False),
        ("check out a: Missing Git provider credentials for https://x/y.git", True),
        ("check out credential: Invalid credentials", True),
        ("check out a: remote: Repository not found.", True),
        ("check out a: The requested URL returned error: 403", True),
    ],
)
def test_words_of_a_refusal(words: str, is_refusal: bool) -> None:
    """Words in the names of branches and repositories do not make an error a refused credential."""
    assert git_folder.is_credential_refusal(words, "a", "credential") is is_refusal


def test_a_credential_that_does_not_show(site: Site) -> None:
    """The credential is missing from the list after it was accepted: an error."""
    site.sandbox.faults.add("stale", path="/api/2.0/git-credentials*", times=0)
    with pytest.raises(WorkspaceError, match="accepted the Git credential for gitLab, but does not show it"):
        git_folder.register_credential(site.workspace(), "gitLab", None, "glpat-made-up")
