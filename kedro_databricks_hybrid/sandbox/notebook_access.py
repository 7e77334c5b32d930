"""How a notebook's dbutils asks the workspace for secrets without holding its user's token.

Each context has a token of its own, in a file that its owner alone can read. It is good for reading
secrets and for nothing else, and as long as the context lives.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.users import User

ACCESS_FILE = "access.json"
REDACTED = "[REDACTED]"


class NotebookAccess:
    """What the notebooks of one user's context may read, and must not show.

    Attributes:
        user: Whose context it is.
        token: What its dbutils shows the workspace.
    """

    def __init__(self, user: User, url: str) -> None:
        self.user = user
        self.token = f"notebook-{secrets.token_hex(24)}"
        self._url = url
        self._read: set[str] = set()

    def document(self) -> str:
        """Return the content of the file that dbutils reads."""
        return json.dumps({"url": self._url, "token": self.token})

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

    def add(self, access: NotebookAccess) -> NotebookAccess:
        """Make a token valid."""
        self._accesses.append(access)
        return access

    def remove(self, access: NotebookAccess) -> None:
        """Make a token invalid."""
        if access in self._accesses:
            self._accesses.remove(access)

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
