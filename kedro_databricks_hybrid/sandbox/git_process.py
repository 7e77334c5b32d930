"""Running git for the workspace: apart from any user's configuration, never asking, never for ever.

What lies in a Git folder names no program that git runs here. The history, and with it the configuration
and the hooks, lies outside of the folder. A submodule, which brings both, is never entered: git would run
`git status` in it to say what a checkout left, so every checkout is quiet. Should it be entered all the same,
the configuration here outranks the submodule's, but it cannot name every filter that one may define.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.machine_variables import machine_variables

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.git_credentials import GitCredential

# How git and its programs are found here, beside what belongs to the machine.
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
# Enough for a clone over a slow network; a request that takes longer fails.
TIME_LIMIT_SECONDS = 300.0


class GitFailedError(Exception):
    """Git ended with an error; `text` is what it said."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass
class Git:
    """Runs git with the workspace's own configuration.

    Attributes:
        configuration: The only configuration file that is read.
        time_limit: Seconds after which a command is ended.
    """

    configuration: Path
    time_limit: float = TIME_LIMIT_SECONDS

    @classmethod
    def below(cls, folder: Path) -> Git:
        """Return a Git whose configuration lies in `folder`."""
        configuration = folder / "gitconfig"
        configuration.write_text(_CONFIGURATION)
        return cls(configuration)

    async def __call__(
        self,
        *arguments: str,
        git_dir: Path | None = None,
        work_tree: Path | None = None,
        credential: GitCredential | None = None,
        url: str = "",
    ) -> str:
        """Run one git command and return what it printed.

        Args:
            *arguments: The command and its arguments.
            git_dir: The repository, where there is one yet.
            work_tree: Its files.
            credential: What to show the remote, sent to `url` only.
            url: The remote that is asked.

        Raises:
            GitFailedError: The command failed, or took too long.
        """
        environment = self._environment()
        settings = {"include.path": str(self.configuration)}  # given so, it outranks every repository's own
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
            cwd=work_tree if work_tree is not None else self.configuration.parent,
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
            "GIT_ASKPASS": "true",  # answers every question with nothing
            "GIT_ALLOW_PROTOCOL": "https:http:file",
            "GIT_OPTIONAL_LOCKS": "0",
        }


def _header(credential: GitCredential, url: str) -> dict[str, str]:
    """Return the setting that makes git send the credential to `url`: not an argument, not a file."""
    name = credential.git_username or credential.git_email or "token"
    pair = base64.b64encode(f"{name}:{credential.token}".encode()).decode()
    return {f"http.{url}.extraHeader": f"Authorization: Basic {pair}"}


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
