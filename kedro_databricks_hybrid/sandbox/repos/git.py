"""Run git for the workspace: without any user's configuration, without prompts, with a time limit.

Names and addresses are checked before git gets them. When git cannot read a remote, the repos API answers
with the messages of Databricks.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, denied, invalid
from kedro_databricks_hybrid.sandbox.core.guesses import CONFLICT, UNKNOWN_REF
from kedro_databricks_hybrid.sandbox.core.machine_variables import machine_variables
from kedro_databricks_hybrid.sandbox.repos.local_remotes import comes_from

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.repos.credentials import GitCredential

# Passed on to git in addition to the variables that describe this machine, to find its programs.
_KEPT_VARIABLES = ("PATH", "GIT_EXEC_PATH", "SYSTEMROOT", "TEMP", "TMP")
_CONFIGURATION = """\
[safe]
\tdirectory = *
\tbareRepository = explicit
[core]
\thooksPath = /dev/null
\tautocrlf = false
\tfsmonitor = false
\tquotePath = false
[submodule]
\trecurse = false
[fetch]
\trecurseSubmodules = false
[diff]
\tignoreSubmodules = all
[credential]
\thelper =
[http]
\tlowSpeedLimit = 1
\tlowSpeedTime = 60
[gc]
\tauto = 0
[maintenance]
\tauto = false
[advice]
\tdetachedHead = false
[protocol "ext"]
\tallow = never
"""
# Enough for a clone over a slow network; a command that takes longer fails.
TIME_LIMIT_SECONDS = 300.0
_REF_NAME = re.compile(r"(?!-)[^\s\x00-\x1f\x7f~^:?*\[\\]+")
_MAX_REF_LENGTH = 250
REMOTE_ERROR = (400, "BAD_REQUEST")

_LOGIN_FAILED = re.compile(
    r"authentication failed|could not read (username|password)|terminal prompts disabled"
    r"|returned error: 40[13]|access denied|permission denied|invalid credentials",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(r"not found|does not (?:exist|appear to be a git repository)", re.IGNORECASE)
REMOTE_NOT_FOUND = (
    "Remote repo not found. Please ensure that:\n1. Your remote Git repo URL is valid.\n"
    "2. Your personal access token or app password has the correct repo access."
)
INVALID_CREDENTIAL = (
    "Invalid Git provider credentials. Go to User Settings > Git Integration to ensure that:\n"
    "1. You have entered a username with your Git provider credentials.\n"
    "2. You have selected the correct Git provider with your credentials.\n"
    "3. Your personal access token or app password has the correct repo access.\n"
    "4. Your personal access token has not expired.\n"
    "5. If you have SSO enabled with your Git provider, be sure to authorize your token."
)
_INCOMPLETE = "Failed to clone repo. Repo may be incomplete. Failure reason: {}"
_MAX_NAMED_FILES = 20


class GitFailedError(Exception):
    """Git failed; `text` is its error output."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass
class Git:
    """Runs git with one fixed configuration.

    Attributes:
        configuration: The only configuration file that git reads.
        private: The folder that no remote may be in.
        time_limit: Seconds after which a command is killed.
    """

    configuration: Path
    private: Path
    time_limit: float = TIME_LIMIT_SECONDS

    @classmethod
    def below(cls, home: Path) -> Git:
        """Write the configuration to the sandbox's home and return a Git that uses it."""
        configuration = home / "git" / "gitconfig"
        configuration.write_text(_CONFIGURATION)
        return cls(configuration, home)

    async def __call__(
        self,
        *arguments: str,
        git_dir: Path | None = None,
        work_tree: Path | None = None,
        credential: GitCredential | None = None,
        url: str = "",
    ) -> str:
        """Run one git command and return its output.

        Args:
            *arguments: The command and its arguments.
            git_dir: The repository, None before it is cloned.
            work_tree: Its working tree.
            credential: The login for the remote, sent to `url` only.
            url: The remote.

        Raises:
            GitFailedError: The command failed or took too long, or the remote is in the sandbox's home.
        """
        directory = work_tree if work_tree is not None else self.configuration.parent
        is_transfer = arguments[0] in {"clone", "fetch"}
        if is_transfer and await asyncio.to_thread(comes_from, self.private, url, directory):
            raise GitFailedError("it is one of the sandbox's own folders, or uses one")
        environment = self._environment()
        settings = {"include.path": str(self.configuration)}  # outranks the configuration of each repository
        if git_dir is not None:
            environment["GIT_DIR"] = str(git_dir)
        if work_tree is not None:
            environment["GIT_WORK_TREE"] = str(work_tree)
        if credential is not None and credential.token:
            settings |= _header(credential, url)
        environment["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (key, value) in enumerate(settings.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), self.time_limit)
        except asyncio.TimeoutError:
            raise GitFailedError(f"timed out after {self.time_limit:.0f} seconds") from None
        finally:
            if process.returncode is None:
                _kill(process)
                await process.wait()
        if process.returncode != 0:
            raise GitFailedError(errors.decode(errors="replace").strip())
        return output.decode(errors="replace")

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return {
            **machine_variables(),
            **kept,
            "HOME": str(self.configuration.parent),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.configuration),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",  # a program that answers every prompt with nothing
            "GIT_ALLOW_PROTOCOL": "https:http:file",
            "GIT_OPTIONAL_LOCKS": "0",
        }


def _header(credential: GitCredential, url: str) -> dict[str, str]:
    """Return the setting by which git sends a credential to `url`, not visible in arguments or files."""
    name = credential.git_username or credential.git_email or "token"
    pair = base64.b64encode(f"{name}:{credential.token}".encode()).decode()
    return {f"http.{url}.extraHeader": f"Authorization: Basic {pair}"}


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Ref:
    """A branch or tag of the remote."""

    kind: str
    name: str

    @classmethod
    def branch(cls, name: str) -> Ref:
        """Return a branch; refuse an invalid name."""
        return cls("branch", _ref_name(name))

    @classmethod
    def tag(cls, name: str) -> Ref:
        """Return a tag; refuse an invalid name."""
        return cls("tag", _ref_name(name))


def checked_url(url: str) -> str:
    """Return the address of a remote, or refuse it.

    Allowed are https, and addresses on this machine: a path, file://, and http on a loopback address.
    """
    if not url.isprintable() or any(character.isspace() for character in url if character != " "):
        raise invalid("Invalid Git repository URL.")
    if Path(url).is_absolute():
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise invalid(f"Invalid Git repository URL {url[:200]!r}.") from None
    if parts.username or parts.password:
        raise invalid("The Git repository URL must not contain a user name or a token.")
    if parts.scheme == "file" and parts.path and host in {"", "localhost"}:
        return url
    if parts.scheme == "https" and host:
        return url
    if parts.scheme == "http" and host in {"127.0.0.1", "localhost", "::1"}:
        return url
    raise invalid(f"Invalid Git repository URL {url[:200]!r}: an https URL is required.")


def _ref_name(name: str) -> str:
    bad = ".." in name or "@{" in name or "//" in name or name.endswith(("/", ".", ".lock"))
    if bad or name.startswith("/") or len(name) > _MAX_REF_LENGTH or not _REF_NAME.fullmatch(name):
        raise invalid(f"{name[:100]!r} is not a valid name of a branch or tag")
    return name


def remote_refused(url: str, output: str, credential: GitCredential | None) -> ApiError:
    """Return the error for a failed clone or fetch, with git's error output but without the token."""
    if _LOGIN_FAILED.search(output):
        if credential is None:
            return denied(
                f"Missing Git provider credentials for repository URL {url}. "
                "Go to User Settings > Git Integration to add your Git provider credentials."
            )
        return denied(INVALID_CREDENTIAL)
    status, code = REMOTE_ERROR
    if _NOT_FOUND.search(output):
        return ApiError(status, code, REMOTE_NOT_FOUND)
    reason = _in_one_line(output)
    if credential is not None and credential.token:
        reason = reason.replace(credential.token, "***")
    return ApiError(status, code, f"Failed to read the remote Git repository {url}: {reason}")


def incomplete_clone(output: str) -> ApiError:
    """Return the error for a clone that stopped in the middle and is left as it is."""
    status, code = REMOTE_ERROR
    return ApiError(status, code, _INCOMPLETE.format(_in_one_line(output)))


def unknown_ref(kind: str, name: str) -> ApiError:
    """Return the error for a branch or tag that the remote does not have."""
    status, code = UNKNOWN_REF
    return ApiError(status, code, f"The {kind} '{name}' was not found in the remote repository.")


def checkout_refused(path: str, output: str) -> ApiError:
    """Return the error for a checkout that would overwrite edits, with the files."""
    files = [line.strip() for line in output.splitlines() if line.startswith("\t")]
    if not files:
        status, code = REMOTE_ERROR
        return ApiError(status, code, f"Failed to check out in {path}: {_in_one_line(output)}")
    named = ", ".join(files[:_MAX_NAMED_FILES])
    if len(files) > _MAX_NAMED_FILES:
        named += f" and {len(files) - _MAX_NAMED_FILES} more"
    status, code = CONFLICT
    return ApiError(
        status,
        code,
        f"The Git folder {path} has uncommitted changes that this operation would overwrite: {named}. "
        "Commit or discard your local changes and try again.",
    )


def _in_one_line(output: str) -> str:
    return " ".join(output.replace("fatal: ", "").split())[:500]
