"""How a notebook asks the workspace as its user, without holding the user's own token.

Each context has a token of its own, in a file that its owner alone can read. It is good for all that its
user may do, and as long as the context lives.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.sandbox.identity.users import User

ACCESS_FILE = "access.json"
NOTEBOOK_HEADER = "X-Databricks-Notebook"
"""Marks what a notebook's dbutils asks, not the notebook's own code."""

REDACTED = "[REDACTED]"
TABLE = "application/vnd.databricks.table+json"
"""The type under which a kernel sends a table to the API: {"schema", "data", "truncated"}."""


class NotebookAccess:
    """As whom the notebooks of one context ask, and what they must not show.

    Attributes:
        user: Whose context it is.
        token: What they show the workspace.
        runs: The runs that they have started by `dbutils.notebook.run`.
    """

    def __init__(self, user: User, url: str, workspace_id: str, cluster_id: str | None) -> None:
        self.user = user
        self.runs: list[int] = []
        self.token = f"notebook-{secrets.token_hex(24)}"
        self._facts = {
            "url": url, "user": user.name, "workspace_id": workspace_id, "cluster_id": cluster_id
        }  # fmt: skip
        self._read: set[str] = set()

    def document(self) -> str:
        """Return the content of the file that notebooks log in with."""
        return json.dumps({**self._facts, "token": self.token})

    def note(self, value: str) -> None:
        """Remember a secret that was read, given in base64."""
        text = base64.b64decode(value).decode(errors="replace")
        if text.strip():
            self._read.add(text)

    def redact(self, shown: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return what a notebook shows, without the secrets that it has read."""
        return _without(shown, sorted(self._read, key=len, reverse=True))


class NotebookAccesses:
    """The tokens of all contexts that live."""

    def __init__(self) -> None:
        self._accesses: list[NotebookAccess] = []
        self._farewells: list[Callable[[NotebookAccess], None]] = []

    def on_end(self, callback: Callable[[NotebookAccess], None]) -> None:
        """Have `callback` called with each access that ends."""
        self._farewells.append(callback)

    def add(self, access: NotebookAccess) -> NotebookAccess:
        """Make a token valid."""
        self._accesses.append(access)
        return access

    def remove(self, access: NotebookAccess) -> None:
        """Make a token invalid."""
        if access in self._accesses:
            self._accesses.remove(access)
            for callback in self._farewells:
                callback(access)

    def by_token(self, token: str) -> NotebookAccess | None:
        """Return whose token this is."""
        given = token.encode(errors="replace")
        found = [one for one in self._accesses if hmac.compare_digest(one.token.encode(), given)]
        return found[0] if found else None


def _without(shown: Any, values: list[str]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(shown, str):
        for value in values:
            shown = shown.replace(value, REDACTED)
        return shown
    if isinstance(shown, list):
        return [_without(one, values) for one in shown]
    if isinstance(shown, dict):
        return {name: _without(one, values) for name, one in shown.items()}
    return shown
