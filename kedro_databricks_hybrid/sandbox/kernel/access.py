"""How a notebook calls the workspace as its user without the user's token.

Each context has a token, in a file that only its owner can read. It has all permissions of the user, and is
valid as long as the context exists.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.sandbox.core.users import User

ACCESS_FILE = "access.json"
NOTEBOOK_HEADER = "X-Databricks-Notebook"
"""Marks requests of a notebook's dbutils, as opposed to requests of its code."""

REDACTED = "[REDACTED]"
TABLE = "application/vnd.databricks.table+json"
"""The media type of tables that a kernel sends to the API: {"schema", "data", "truncated"}."""


class NotebookAccess:
    """The login of one context's notebooks, and the secrets to redact in their output.

    Attributes:
        user: The user of the context.
        token: The token of the context.
        runs: The runs that they started by `dbutils.notebook.run`.
    """

    def __init__(self, user: User, url: str, workspace_id: str, cluster_id: str | None) -> None:
        self.user = user
        self.runs: list[int] = []
        self.token = f"notebook-{secrets.token_hex(24)}"
        self._login = {
            "url": url, "user": user.name, "workspace_id": workspace_id, "cluster_id": cluster_id
        }  # fmt: skip
        self._read: set[str] = set()

    def document(self) -> str:
        """Return the content of the file by which notebooks log in."""
        return json.dumps({**self._login, "token": self.token})

    def note(self, value: str) -> None:
        """Add a secret that was read, in base64, to those to redact."""
        text = base64.b64decode(value).decode(errors="replace")
        if text.strip():
            self._read.add(text)

    def redact(self, shown: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return output with every secret replaced that the notebook has read."""
        return _redacted(shown, sorted(self._read, key=len, reverse=True))


class NotebookAccesses:
    """The accesses of all existing contexts."""

    def __init__(self) -> None:
        self._accesses: list[NotebookAccess] = []
        self._end_callbacks: list[Callable[[NotebookAccess], None]] = []

    def on_end(self, callback: Callable[[NotebookAccess], None]) -> None:
        """Call `callback` with each access that is removed."""
        self._end_callbacks.append(callback)

    def add(self, access: NotebookAccess) -> NotebookAccess:
        """Make an access's token valid."""
        self._accesses.append(access)
        return access

    def remove(self, access: NotebookAccess) -> None:
        """Make an access's token invalid."""
        if access in self._accesses:
            self._accesses.remove(access)
            for callback in self._end_callbacks:
                callback(access)

    def by_token(self, token: str) -> NotebookAccess | None:
        """Return the access of a token, None if it is not valid."""
        given = token.encode(errors="replace")
        found = [one for one in self._accesses if hmac.compare_digest(one.token.encode(), given)]
        return found[0] if found else None


def _redacted(shown: Any, values: list[str]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(shown, str):
        for value in values:
            shown = shown.replace(value, REDACTED)
        return shown
    if isinstance(shown, list):
        return [_redacted(one, values) for one in shown]
    if isinstance(shown, dict):
        return {name: _redacted(one, values) for name, one in shown.items()}
    return shown
