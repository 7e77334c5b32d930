"""The local Git repository; the only module that runs git."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from kedro_databricks_hybrid.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NO_CONFIGURATION = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
}
"""Environment variables that make git read no configuration except that of the repository."""

_SCP_LIKE = re.compile(r"^(?:[^@/:]+@)?(?P<host>[^/:]{2,}):(?P<path>(?!/).+)$")

# Git providers by host name; the first match wins. The values are those that Databricks' repos and
# git-credentials APIs accept.
_PROVIDERS = (
    (re.compile(r"^(www\.)?github\.com$"), "gitHub"),
    (re.compile(r"^(www\.)?gitlab\.com$"), "gitLab"),
    (re.compile(r"^(www\.)?bitbucket\.org$"), "bitbucketCloud"),
    (re.compile(r"^(dev\.azure\.com|.+\.visualstudio\.com)$"), "azureDevOpsServices"),
    (re.compile(r"^git-codecommit\..+\.amazonaws\.com$"), "awsCodeCommit"),
    (re.compile(r"github"), "gitHubEnterprise"),
    (re.compile(r"gitlab"), "gitLabEnterpriseEdition"),
    (re.compile(r"bitbucket"), "bitbucketServer"),
)


# To list changes inside a submodule, git would run in it, with the configuration of that folder.
_STATUS = ("status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=dirty")


@dataclass(frozen=True)
class Commit:
    """A commit: its full SHA-1 and the first line of its message."""

    sha: str
    subject: str

    @property
    def short(self) -> str:
        """The first seven hex digits, as git prints them."""
        return self.sha[:7]

    def __str__(self) -> str:
        return f"{self.short} ({self.subject})"


class Repository:
    """The Git repository that holds a Kedro project.

    Args:
        project_path: The Kedro project's folder: the top of the repository or a folder in it.

    Raises:
        GitError: git is not installed, or the folder is not in a Git repository.
    """

    def __init__(self, project_path: Path) -> None:
        self.project = project_path
        try:
            top, prefix = self.ask("rev-parse", "--show-toplevel", "--show-prefix").split("\n")[:2]
        except GitError as error:
            if "not a git repository" not in error.message:
                raise
            raise GitError(
                f"{project_path} is not in a Git repository.",
                hint="Run `git init`, commit, and add a remote: Databricks gets the code from there.",
            ) from None
        self.top = Path(top)
        self.prefix = prefix.strip("/")
        """The project's folder inside the repository, POSIX, empty at the top."""

    def head(self) -> Commit:
        """Return the commit that is checked out.

        Raises:
            GitError: The repository has no commit yet.
        """
        commit = self.commit("HEAD")
        if commit is None:
            raise GitError(
                "This repository has no commit yet, and Databricks runs commits.",
                hint="Run `git add -A && git commit`.",
            )
        return commit

    def commit(self, name: str) -> Commit | None:
        """Return the commit of a name or SHA-1; None if this repository lacks it."""
        result = self.run("log", "-1", "--format=%H%n%s", name, "--")
        if result.returncode != 0:
            return None
        sha, _, subject = _text(result.stdout).rstrip("\n").partition("\n")
        return Commit(sha, subject)

    def branch(self) -> str:
        """Return the name of the branch that is checked out.

        Raises:
            GitError: HEAD is detached.
        """
        name = self.ask("branch", "--show-current").strip()
        if not name:
            raise GitError(
                "No branch is checked out (detached HEAD), so there is no branch to push or pull.",
                hint="Run `git switch <branch>`, or `git switch -c <new branch>` to keep this commit.",
            )
        return name

    def remote_url(self, remote: str) -> str:
        """Return the URL that `git push` to this remote uses.

        Raises:
            GitError: The repository has no remote of that name.
        """
        try:
            return self.ask("remote", "get-url", "--push", remote).strip()
        except GitError:
            others = ", ".join(self.ask("remote").split())
            found = f"this repository has {others}" if others else "this repository has no remote"
            raise GitError(
                f"There is no Git remote called {remote!r}: {found}.",
                hint=f"Run `git remote add {remote} <url>`, or set code.remote in conf/base/databricks.yml.",
            ) from None

    def edited_paths(self) -> list[str]:
        """Return the paths, relative to the repository, of changed and new files."""
        fields = self.ask(*_STATUS).split("\0")
        paths = []
        entries = iter(fields)
        for entry in entries:
            if entry:
                paths.append(entry[3:])
                if entry[0] in "RC":
                    next(entries, None)  # the old name
        return paths

    def push(self, remote: str, branch: str) -> bool:
        """Push a branch and set its upstream.

        Returns:
            Whether the remote lacked any of its commits.

        Raises:
            GitError: The remote refused or could not be reached; the message contains git's output.
        """
        refs = f"refs/heads/{branch}:refs/heads/{branch}"
        result = self.run("push", "--porcelain", "--set-upstream", "--", remote, refs)
        if result.returncode == 0:
            return not any(line.startswith(b"=") for line in result.stdout.splitlines())
        output = _text(result.stderr + result.stdout)
        raise GitError(
            f"git push of {branch!r} to {remote!r} failed: {error_summary(result.stderr + result.stdout)}",
            hint="The remote has commits that you lack: "
            f"run `git pull --rebase {remote} {branch}`, then push again."
            if "non-fast-forward" in output or "fetch first" in output
            else "Fix what git reports, then push again; nothing was changed on Databricks.",
        )

    def at_remote(self, remote: str, *refs: str) -> dict[str, str] | None:
        """Return the commits of refs at a remote, by name; None if it does not answer.

        Args:
            remote: The remote's name in this repository.
            *refs: Full names such as `refs/heads/main`; annotated tags are resolved to their commit.
        """
        peeled = [f"{ref}^{{}}" for ref in refs if ref.startswith("refs/tags/")]
        result = self.run("ls-remote", "--", remote, *refs, *peeled)
        if result.returncode != 0:
            return None
        found = [line.split("\t", 1) for line in _text(result.stdout).splitlines() if "\t" in line]
        return {name.removesuffix("^{}"): sha for sha, name in found}

    def has_folder(self, sha: str, path: str) -> bool:
        """Tell whether a commit has a folder; its path is relative to the Kedro project's folder."""
        return bool(self.run("ls-tree", sha, "--", f"{path}/").stdout)

    def file_at(self, sha: str, path: str) -> bytes | None:
        """Return a file's content in a commit; None if the file or the commit does not exist.

        Args:
            sha: The commit.
            path: POSIX path relative to the Kedro project's folder.
        """
        return self.files_at(sha, [path]).get(path)

    def files_at(self, sha: str, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the content of those files that a commit has, by path, with one git command."""
        names = [f"{self.prefix}/{path}" if self.prefix else path for path in paths]
        asked = "".join(f"{sha}:{name}\n" for name in names)
        answer = io.BytesIO(self.run("cat-file", "--batch", given=asked).stdout)
        found = {}
        for path in paths:
            kind, _, size = answer.readline().rstrip().rpartition(b" ")
            if size.isdigit():
                content = answer.read(int(size))
                answer.read(1)
                if kind.endswith(b" blob"):
                    found[path] = content
        return found

    def reader(self, sha: str, likely: Sequence[str]) -> Callable[[str], bytes | None]:
        """Return a function that reads a commit's file by path; the `likely` ones are read in advance."""
        read = self.files_at(sha, likely)
        return lambda path: read.get(path) if path in likely else self.file_at(sha, path)

    def ask(
        self, *arguments: str, given: str | bytes = b"", variables: Mapping[str, str] | None = None
    ) -> str:
        """Run a git command and return its output.

        Args:
            *arguments: The command and its arguments.
            given: Its standard input.
            variables: Variables to add to its environment.

        Raises:
            GitError: It failed; the message contains the end of its error output.
        """
        result = self.run(*arguments, given=given, variables=variables)
        if result.returncode != 0:
            raise GitError(f"git {arguments[0]} failed: {error_summary(result.stderr)}")
        return _text(result.stdout)

    def run(
        self,
        *arguments: str,
        given: str | bytes = b"",
        variables: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a git command and return its result, even if it failed; a timeout has status 124."""
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self.project,
                env={**_environment(), **(variables or {})},
                input=given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given,
                capture_output=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            late = f"no answer within {seconds:.0f} s".encode()
            return subprocess.CompletedProcess(error.cmd, 124, b"", late)
        except FileNotFoundError:
            raise GitError("git is not installed.", hint="Install it, then run the command again.") from None


def without_credentials(url: str) -> str:
    """Return a remote's URL without user name and password, to print it."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_local(url: str) -> bool:
    """Tell whether a remote is a folder on this machine."""
    return url.startswith("file:") or (
        urlsplit(url).scheme in {"", *"abcdefghijklmnopqrstuvwxyz"} and not _SCP_LIKE.match(url)
    )


def clone_url(url: str, top: Path) -> str:
    """Return a remote's URL in the form that Databricks can clone.

    Databricks only clones over HTTPS, so SSH URLs are rewritten; a relative local remote becomes absolute.

    Args:
        url: The output of `git remote get-url`.
        top: The repository's top folder, the base of relative paths.
    """
    if is_local(url):
        return url if url.startswith("file:") else str((top / url).resolve())
    if "://" not in url and (match := _SCP_LIKE.match(url)):
        host, path = match["host"], match["path"]
    else:
        parts = urlsplit(url)
        if parts.scheme not in {"ssh", "git", "git+ssh"}:
            return without_credentials(url)
        host, path = parts.hostname or "", parts.path.lstrip("/")
    if host == "ssh.dev.azure.com":  # git@ssh.dev.azure.com:v3/<organisation>/<project>/<repository>
        _, organisation, project, repository = path.split("/", 3)
        return f"https://dev.azure.com/{organisation}/{project}/_git/{repository}"
    return f"https://{host}/{path}"


def provider_of(url: str) -> str | None:
    """Return Databricks' name of a clone URL's Git provider; None if its host does not tell."""
    host = urlsplit(url).hostname or ""
    return next((name for pattern, name in _PROVIDERS if pattern.search(host)), None)


def _environment() -> dict[str, str]:
    """Return an environment in which git prints English and prompts only at a terminal."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0"}
    if not sys.stdin.isatty():
        environment["GIT_TERMINAL_PROMPT"] = "0"
    return environment


def error_summary(output: bytes) -> str:
    """Return the end of git's error output on one line, without hints and without credentials in URLs."""
    lines = [line.strip() for line in _text(output).splitlines()]
    skipped = ("hint:", "To ", "branch '", "Done")
    relevant = [line for line in lines if line and not line.startswith(skipped)]
    return re.sub(r"(https?://)[^/@\s]+@", r"\1", " ".join(relevant[-6:]) or "no reason given")


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")
