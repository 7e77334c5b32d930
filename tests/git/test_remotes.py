"""Addresses of Git remotes, as real git and real ssh resolve them, and as Databricks clones them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kedro_databricks_hybrid.errors import GitError
from kedro_databricks_hybrid.git.remotes import clone_url, is_local, is_same, provider_of
from kedro_databricks_hybrid.git.repository import Repository
from kedro_databricks_hybrid.project import git_source
from kedro_databricks_hybrid.project.settings import Code

SSH = """\
Host github.com-work
  HostName github.com
Host work
  HostName ssh.github.com
  Port 443
Host bb
  HostName bitbucket.example.com
  Port 7999
Host unnamed
"""


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder."""
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with one commit, whose ssh uses its own configuration file."""
    (tmp_path / "ssh").write_text(SSH)
    git(tmp_path, "init", "-q", "-b", "main", "clone")
    folder = tmp_path / "clone"
    git(folder, "commit", "-q", "--allow-empty", "-m", "First")
    git(folder, "config", "core.sshCommand", f"ssh -F '{tmp_path / 'ssh'}'")
    return folder


def cloned(folder: Path, url: str, /, **settings: str) -> git_source.Source:
    """Add a remote with this URL, and return what Databricks clones."""
    git(folder, "remote", "add", "origin", url)
    return git_source.source(Repository(folder), Code(**settings))


HTTPS = {
    "git@github.com:acme/p.git": "https://github.com/acme/p.git",
    "git@github.com:/acme/p.git": "https://github.com/acme/p.git",
    "git@github.com-work:acme/p.git": "https://github.com/acme/p.git",
    "git@work:acme/p.git": "https://github.com/acme/p.git",
    "ssh://git@ssh.github.com:443/acme/p.git": "https://github.com/acme/p.git",
    "ssh://git@altssh.gitlab.com:443/acme/p.git": "https://gitlab.com/acme/p.git",
    "git@altssh.bitbucket.org:acme/p.git": "https://bitbucket.org/acme/p.git",
    "ssh://git@gitlab.example.com:2222/acme/sub/p.git": "https://gitlab.example.com/acme/sub/p.git",
    "https://me:secret@github.com/acme/p.git": "https://github.com/acme/p.git",
    "https://github.example.com:8443/acme/p": "https://github.example.com:8443/acme/p",
    "git://github.com/acme/p.git": "https://github.com/acme/p.git",
    # Azure DevOps
    "git@ssh.dev.azure.com:v3/org/project/p": "https://dev.azure.com/org/project/_git/p",
    "ssh://git@ssh.dev.azure.com:22/v3/org/project/p": "https://dev.azure.com/org/project/_git/p",
    "org@vs-ssh.visualstudio.com:v3/org/project/p": "https://dev.azure.com/org/project/_git/p",
    "ssh://org@vs-ssh.visualstudio.com:22/DefaultCollection/project/_ssh/p": (
        "https://dev.azure.com/org/project/_git/p"
    ),
    "ssh://org@org.visualstudio.com:22/project/_ssh/p": "https://org.visualstudio.com/project/_git/p",
    "https://org@dev.azure.com/org/project/_git/p": "https://dev.azure.com/org/project/_git/p",
    # Bitbucket Server
    "ssh://git@bitbucket.example.com:7999/team/p.git": "https://bitbucket.example.com/scm/team/p.git",
    "ssh://git@bitbucket.example.com:7999/~me/p.git": "https://bitbucket.example.com/scm/~me/p.git",
    "git@bb:team/p.git": "https://bitbucket.example.com/scm/team/p.git",
    "https://bitbucket.example.com:8443/scm/team/p.git": "https://bitbucket.example.com:8443/scm/team/p.git",
    # CodeCommit
    "ssh://KEY@git-codecommit.eu-west-1.amazonaws.com/v1/repos/p": (
        "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/p"
    ),
    "codecommit::eu-west-1://profile@p": "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/p",
}


@pytest.mark.parametrize(("url", "expected"), HTTPS.items())
def test_what_databricks_clones(url: str, expected: str, clone: Path) -> None:
    """Databricks clones the HTTPS address of the repository that git pushes to, without credentials."""
    assert cloned(clone, url).url == expected


UNKNOWN = [
    "git@ssh.dev.azure.com:v3/org/p", "git@ssh.dev.azure.com:org", "git@unnamed:acme/p.git",
    "git@github.com:~me/p.git", "codecommit://profile@p", "ext::sh -c x",
    "ssh://vs-ssh.visualstudio.com/project/_ssh/p",
]  # fmt: skip


@pytest.mark.parametrize("url", UNKNOWN)
def test_an_address_that_cannot_be_told(url: str, clone: Path) -> None:
    """The HTTPS address is unknown: the error names the setting code.url, and setting it works."""
    with pytest.raises(GitError, match=r"does not tell the HTTPS address .*\. Set code\.url in databricks"):
        cloned(clone, url)
    git(clone, "remote", "remove", "origin")
    source = cloned(clone, url, url="https://gitlab.example.com/acme/p")
    assert (source.url, source.provider) == ("https://gitlab.example.com/acme/p", "gitLabEnterpriseEdition")
    assert source.shown_pushed_to == url


def test_a_server_whose_host_does_not_tell_the_provider(clone: Path) -> None:
    """code.provider names the provider of an unknown host, which decides the form of the HTTPS address."""
    url = "ssh://git@git.example.com:7999/team/p.git"
    source = cloned(clone, url, provider="bitbucketServer")
    assert source.url == "https://git.example.com/scm/team/p.git"
    with pytest.raises(GitError, match=r"https://git.example.com/team/p.git is not known .*code.provider"):
        git_source.source(Repository(clone), Code())


def test_rewritten_and_separate_addresses(clone: Path) -> None:
    """Databricks clones the address that git pushes to, after insteadOf, pushInsteadOf and pushurl."""
    git(clone, "config", "url.git@work:.insteadOf", "company:")
    assert cloned(clone, "company:acme/p").url == "https://github.com/acme/p"
    git(clone, "remote", "set-url", "--push", "origin", "https://me:token@gitlab.com/fork/p")
    source = git_source.source(Repository(clone), Code())
    assert (source.url, source.shown_pushed_to) == ("https://gitlab.com/fork/p", "https://gitlab.com/fork/p")
    git(clone, "config", "url.git@gitlab.com:.pushInsteadOf", "https://gitlab.com/")
    git(clone, "remote", "set-url", "--delete", "--push", "origin", ".*")
    git(clone, "remote", "set-url", "origin", "https://gitlab.com/acme/p")
    source = git_source.source(Repository(clone), Code())
    assert (source.url, source.shown_pushed_to) == ("https://gitlab.com/acme/p", "git@gitlab.com:acme/p")


def test_commits_are_asked_for_where_they_are_pushed_to(clone: Path, tmp_path: Path) -> None:
    """Fetch and push addresses differ: the remote branch is read from the push address."""
    for name in ("theirs.git", "mine.git"):
        git(tmp_path, "init", "-q", "--bare", name)
    git(clone, "remote", "add", "origin", str(tmp_path / "theirs.git"))
    git(clone, "remote", "set-url", "--push", "origin", str(tmp_path / "mine.git"))
    repository = Repository(clone)
    repository.push("origin", "main")
    assert repository.at_remote("origin", "refs/heads/main") == {"refs/heads/main": repository.head().sha}
    assert git_source.source(repository, Code()).url == str(tmp_path / "mine.git")


def test_without_ssh(clone: Path) -> None:
    """Without a working ssh, the host is used as it is written in the URL."""
    git(clone, "config", "core.sshCommand", "/no/such/program")
    assert cloned(clone, "git@github.com:acme/p.git").url == "https://github.com/acme/p.git"
    git(clone, "remote", "set-url", "origin", "git@-oProxyCommand=x.example.com:acme/p.git")
    assert "example.com" in git_source.source(Repository(clone), Code(provider="gitHub")).url


def test_a_relative_remote_becomes_absolute(tmp_path: Path) -> None:
    """A relative path of a remote becomes absolute; a file URL stays."""
    assert clone_url("../iris.git", tmp_path / "clone", None, str) == str(tmp_path / "iris.git")
    assert clone_url("file:///srv/iris.git", tmp_path, None, str) == "file:///srv/iris.git"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/team/iris.git", "gitHub"),
        ("https://github.example.com/team/iris.git", "gitHubEnterprise"),
        ("https://gitlab.com/team/iris", "gitLab"),
        ("https://gitlab.example.com/team/iris", "gitLabEnterpriseEdition"),
        ("https://bitbucket.org/team/iris", "bitbucketCloud"),
        ("https://bitbucket.example.com/team/iris", "bitbucketServer"),
        ("https://dev.azure.com/org/project/_git/iris", "azureDevOpsServices"),
        ("https://org.visualstudio.com/project/_git/iris", "azureDevOpsServices"),
        ("https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/iris", "awsCodeCommit"),
        ("https://git.example.com/team/iris", None),
    ],
)
def test_providers(url: str, expected: str | None) -> None:
    """The provider follows from the host, in Databricks' spelling; an unknown host gives None."""
    assert provider_of(url) == expected


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("/srv/x.git", True),
        ("../x.git", True),
        ("file:///x", True),
        ("C:/x.git", True),
        ("git@host:x.git", False),
        ("git@host:/srv/x.git", False),
        ("https://host/x", False),
        ("ssh://host/x", False),
    ],
)
def test_local_remotes(url: str, local: bool) -> None:
    """Local paths and file URLs are local; hosts, also in scp form, are not."""
    assert is_local(url) is local


def test_two_addresses_of_one_repository() -> None:
    """The old and new address of an Azure DevOps repository, with or without .git, are equal."""
    address = "https://dev.azure.com/org/project/_git/p"
    for other in ("https://Org.visualstudio.com/DefaultCollection/project/_git/p", f"{address}.git/"):
        assert is_same(address, other)
    assert not is_same(address, "https://dev.azure.com/org/other/_git/p")
