"""The errors of this package: each names what failed, and a hint names the next step."""

from __future__ import annotations

import errno

_MACHINE_HINTS = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space",
    errno.EFBIG: "Allow larger files, for example with `ulimit -f unlimited`",
    errno.EROFS: "Make the disk writable",
    errno.EIO: "Check the disk",
    errno.EMFILE: "Allow more open files, for example with `ulimit -n 4096`",
    errno.ENFILE: "Close other programs",
}


class HybridError(Exception):
    """An error that the user can fix; a command prints it as one line and exits with `exit_status`.

    Args:
        message: What failed and why; one sentence.
        hint: The next step; one sentence that names a command or a setting.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        stop = "" if self.message.endswith((".", "!", "?", ":")) else "."  # quoted messages may have none
        return f"{self.message}{stop} {self.hint}"


class SettingsError(HybridError):
    """databricks.yml or the project is invalid or incomplete."""


class GitError(HybridError):
    """A Git command failed, or the repository or remote lacks something that the command needs."""


class LoginError(HybridError):
    """No credentials were found, or Databricks refused them."""


class ConnectionFailedError(HybridError):
    """Databricks could not be reached."""


class UnexpectedAnswerError(HybridError):
    """Databricks' answer is not what its API documents, so it tells nothing about the request."""


class WorkspaceError(HybridError):
    """Databricks refused a request."""


class NotFoundError(WorkspaceError):
    """The Databricks object that a command names does not exist."""


class DirtyGitFolderError(WorkspaceError):
    """The Git folder has edits that a checkout would lose."""


class ComputeError(HybridError):
    """No compute was found for a run, or it did not start."""


class TransferError(HybridError):
    """A transfer of data failed or was refused, or its result differs from what was sent."""


class RunError(HybridError):
    """A run failed, or a command cannot be applied to it."""


class RunCancelledError(RunError):
    """A run was cancelled."""

    exit_status = 130


class SandboxError(HybridError):
    """The sandbox could not be started, reached or stopped."""


class MachineError(HybridError):
    """The operating system refused a resource: disk space, a quota, an open file."""

    @classmethod
    def of(cls, error: OSError, path: object = None) -> MachineError | None:
        """Return the error for an OSError of this kind, None for any other.

        Args:
            error: The OSError.
            path: The file to name, if the error names none or a temporary one.
        """
        hint = _MACHINE_HINTS.get(error.errno or 0)
        if hint is None:
            return None
        file = path or error.filename
        where = f" ({file})" if file else ""
        return cls(f"{error.strerror}{where}.", hint=f"{hint}, then try again.")
