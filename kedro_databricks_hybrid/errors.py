"""One tree of errors: what was tried, on what, what came back, and the next step."""

from __future__ import annotations

import errno

_REMEDIES_OF_THE_MACHINE = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space",
    errno.EFBIG: "Allow larger files, such as by `ulimit -f unlimited`",
    errno.EROFS: "Make the disk writable",
    errno.EIO: "Check the disk",
    errno.EMFILE: "Allow more open files, such as by `ulimit -n 4096`",
    errno.ENFILE: "Close other programs",
}


class HybridError(Exception):
    """Something that a user can act on; a command prints it as one line and exits with `exit_status`.

    Args:
        message: What was tried, on what, and what came back; one sentence.
        hint: The next step, one sentence that names the command or the setting to change.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        stop = "" if self.message.endswith((".", "!", "?", ":")) else "."  # others' words may have none
        return f"{self.message}{stop} {self.hint}"


class SettingsError(HybridError):
    """databricks.yml, or the project that it belongs to, cannot be used as it is."""


class GitError(HybridError):
    """Git, here or at the remote, refused or lacks what the command needs."""


class LoginError(HybridError):
    """No credentials were found, or Databricks does not accept them."""


class ConnectionFailedError(HybridError):
    """Databricks could not be reached."""


class WorkspaceError(HybridError):
    """Databricks answered a request with a refusal."""


class NotFoundError(WorkspaceError):
    """The Databricks object that a command names does not exist."""


class DirtyGitFolderError(WorkspaceError):
    """The Git folder holds edits that a checkout would lose."""


class ComputeError(HybridError):
    """No cluster to run on, or it did not start."""


class TransferError(HybridError):
    """Data could not be moved, or did not arrive as it was sent."""


class RunError(HybridError):
    """A pipeline did not complete; its log has been printed."""


class RunCancelledError(RunError):
    """A run ended because it was cancelled."""

    exit_status = 130


class SandboxError(HybridError):
    """The local workspace cannot be started, reached or stopped."""


class MachineError(HybridError):
    """This machine refuses what every command needs: space on its disk, a quota, one more open file."""

    @classmethod
    def of(cls, error: OSError, path: object = None) -> MachineError | None:
        """Return the error of such a refusal, in the same words whichever file it meets; None of any other.

        Args:
            error: What the system said.
            path: The file, where the error names none or a draft of it.
        """
        remedy = _REMEDIES_OF_THE_MACHINE.get(error.errno or 0)
        if remedy is None:
            return None
        file = path or error.filename
        where = f" ({file})" if file else ""
        return cls(f"This machine cannot go on: {error.strerror}{where}.", hint=f"{remedy}, then try again.")
