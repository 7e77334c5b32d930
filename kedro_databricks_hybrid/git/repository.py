"""The local Git repository; the only module that runs git."""

from __future__ import annotations

import io
import os
import posixpath
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NO_CONFIGURATION = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
}
"""Environment variables that make git read no configuration except that of the repository."""

# What Kedro-Viz, Python, tools and Spark write into the folder that they run in.
_WRITTEN_FOLDERS = {
    *(".viz", "__pycache__", ".ipynb_checkpoints", ".cache", ".pytest_cache", ".mypy_cache", ".ruff_cache"),
    *("spark-warehouse", "metastore_db"),
}
_WRITTEN_FILE = re.compile(r"\.log(\.\d+)?$|\.pyc$")

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

    def push_urls(self, remote: str) -> list[str]:
        """Return the URLs that `git push` to this remote uses, after the rules of `insteadOf`.

        Raises:
            GitError: The repository has no remote of that name.
        """
        try:
            return self.ask("remote", "get-url", "--push", "--all", remote).splitlines()
        except GitError:
            others = ", ".join(self.ask("remote").split())
            found = f"this repository has {others}" if others else "this repository has no remote"
            raise GitError(
                f"There is no Git remote called {remote!r}: {found}.",
                hint=f"Run `git remote add {remote} <url>`, or set code.remote in databricks.yml.",
            ) from None

    def asked_at(self, remote: str) -> str:
        """Return what `git ls-remote` asks for pushed commits: the remote, or the URL that it pushes to."""
        urls = self.push_urls(remote)
        fetched = self.run("remote", "get-url", remote)
        return remote if _text(fetched.stdout).strip() in urls else urls[0]

    def ssh_command(self) -> str | None:
        """Return the command that git runs for ssh; None for `ssh`."""
        return _text(self.run("config", "--get", "core.sshCommand").stdout).strip() or None

    def edited_paths(self) -> list[str]:
        """Return the paths, relative to the repository, of changed and new files that no run wrote."""
        fields = self.ask(*_STATUS).split("\0")
        paths = []
        entries = iter(fields)
        for entry in entries:
            if entry:
                paths.append(entry[3:])
                if entry[0] in "RC":
                    next(entries, None)  # the old name
        return [path for path in paths if not is_written_by_runs(path)]

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
        result = self.run("ls-remote", "--", self.asked_at(remote), *refs, *peeled)
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

    def files_at(self, sha: str, paths: Sequence[str], prefix: str | None = None) -> dict[str, bytes]:
        """Return the content of those files that a commit has, by path, with one git command.

        A symbolic link has the content of the file of the commit that it leads to.

        Args:
            sha: The commit.
            paths: POSIX paths; `..` leads above the folder.
            prefix: The folder in the repository that they are relative to; None for the Kedro project's.
        """
        named = {path: self._named_at(sha, path, prefix) for path in paths}
        paths = [path for path in paths if not named[path].startswith(f"{sha}:../")]  # git would end there
        asked = "".join(f"{named[path]}\n" for path in paths)
        answer = io.BytesIO(self.run("cat-file", "--batch", "--follow-symlinks", given=asked).stdout)
        found = {}
        for path in paths:
            kind, _, size = answer.readline().rstrip().rpartition(b" ")
            if size.isdigit():
                content = answer.read(int(size))
                answer.read(1)
                if kind.endswith(b" blob"):
                    found[path] = content
        return found

    def id_at(self, sha: str, path: str) -> str | None:
        """Return the id of the content of a file or folder in a commit; None if it has neither."""
        name = self._named_at(sha, path, None)
        result = self.run("rev-parse", "--quiet", "--verify", "--end-of-options", name)
        return _text(result.stdout).strip() if result.returncode == 0 else None

    def _named_at(self, sha: str, path: str, prefix: str | None) -> str:
        """Return how git names a path in a commit; one above the repository is no file of any commit."""
        name = posixpath.normpath(posixpath.join(self.prefix if prefix is None else prefix, path))
        return f"{sha}:{'' if name == '.' else name}"

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


def is_written_by_runs(path: str) -> bool:
    """Tell whether a file is one that runs write into the project, such as a cache or a log, so no edit.

    Args:
        path: Relative to the repository; a folder ends with a slash.
    """
    parts = path.rstrip("/").split("/")
    return not _WRITTEN_FOLDERS.isdisjoint(parts) or _WRITTEN_FILE.search(parts[-1]) is not None


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
