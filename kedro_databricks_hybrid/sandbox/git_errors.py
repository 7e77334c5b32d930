"""What the repos API answers when git fails.

The error codes are those that Databricks publishes (GIT_REMOTE_ERROR, GIT_UNKNOWN_REF, GIT_CONFLICT).
Not verified against a live workspace: which status goes with each of them, and their texts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.answers import ApiError, denied

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.git_credentials import GitCredential

# Not verified against a live workspace: status and code of each.
REMOTE_ERROR = (400, "GIT_REMOTE_ERROR")
UNKNOWN_REF = (404, "GIT_UNKNOWN_REF")
CONFLICT = (409, "GIT_CONFLICT")

_LOGIN_WANTED = re.compile(
    r"authentication failed|could not read (username|password)|terminal prompts disabled"
    r"|returned error: 40[13]|access denied|permission denied|invalid credentials",
    re.IGNORECASE,
)
_MAX_NAMED_FILES = 20


def remote_refused(url: str, said: str, credential: GitCredential | None) -> ApiError:
    """Say why a clone or a fetch failed; what git said is shown without anything secret."""
    if _LOGIN_WANTED.search(said):
        if credential is None:
            return denied(
                f"Missing Git provider credentials for repository URL {url}. "
                "Go to User Settings > Linked accounts to add your Git provider credentials."
            )
        return denied(
            f"Invalid Git provider credentials for repository URL {url}. "
            "Go to User Settings > Linked accounts to update your Git provider credentials."
        )
    reason = " ".join(said.replace("fatal: ", "").split())[:500]
    if credential is not None and credential.token:
        reason = reason.replace(credential.token, "***")
    status, code = REMOTE_ERROR
    return ApiError(status, code, f"Failed to read the remote Git repository {url}: {reason}")


def unknown_ref(kind: str, name: str) -> ApiError:
    """Say that the remote has no such branch or tag."""
    status, code = UNKNOWN_REF
    return ApiError(status, code, f"The {kind} '{name}' was not found in the remote repository.")


def checkout_refused(path: str, said: str) -> ApiError:
    """Say that a checkout would lose edits, and of which files."""
    files = [line.strip() for line in said.splitlines() if line.startswith("\t")]
    if not files:
        status, code = REMOTE_ERROR
        return ApiError(status, code, f"Failed to check out in {path}: {' '.join(said.split())[:500]}")
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
