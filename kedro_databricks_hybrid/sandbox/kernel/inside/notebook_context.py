"""What a notebook knows of where it runs: its workspace, its login, its cluster; and asking that workspace.

This is the inside of `dbutils.notebook.entry_point` and of `dbruntime`, by which clients log in.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from kedro_databricks_hybrid.sandbox.kernel.access import ACCESS_FILE, NOTEBOOK_HEADER

_SECONDS = 30
_notebook_path: list[str] = []


class RefusedError(Exception):
    """The workspace refuses; `str` of it is the API's code and message."""


class NotebookContext:
    """The facts about this notebook, by Databricks' names."""

    def __init__(self) -> None:
        facts = _facts()
        self.apiUrl: str = facts["url"]
        self.apiToken: str = facts["token"]
        self.browserHostName: str = urllib.parse.urlsplit(facts["url"]).netloc
        self.workspaceUrl: str = self.browserHostName
        self.workspaceId: str = facts["workspace_id"]
        self.userName: str = facts["user"]
        self.clusterId: str | None = facts["cluster_id"]
        self.notebookPath: str | None = _notebook_path[0] if _notebook_path else None
        self.isInNotebook = True
        self.isInCluster = True


class Option:
    """A value as Scala hands it out, which may be missing."""

    def __init__(self, value: Any) -> None:  # noqa: ANN401 - any fact
        self._value = value

    def get(self) -> Any:  # noqa: ANN401
        """Return the value, or fail where there is none."""
        if self._value is None:
            raise ValueError("None.get")
        return self._value

    def getOrElse(self, default: Any) -> Any:  # noqa: ANN401, N802 - Scala's name
        """Return the value, or another one where there is none."""
        return default if self._value is None else self._value

    def isDefined(self) -> bool:  # noqa: N802 - Scala's name
        """Whether there is a value."""
        return self._value is not None


class EntryPoint:
    """`dbutils.notebook.entry_point`, the way of old code to the notebook's context."""

    def getDbutils(self) -> EntryPoint:  # noqa: N802 - Databricks' name
        """Return what has the notebook's facts."""
        return self

    def notebook(self) -> EntryPoint:
        """Return what has the notebook's facts."""
        return self

    def getContext(self) -> EntryPoint:  # noqa: N802 - Databricks' name
        """Return what has the notebook's facts."""
        return self

    def toJson(self) -> str:  # noqa: N802 - Databricks' name
        """Return the facts as JSON, without the login."""
        facts = vars(NotebookContext())
        del facts["apiToken"]
        return json.dumps({"tags": facts})

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a function that returns an Option
        facts = vars(NotebookContext())
        if name not in facts:
            raise AttributeError(name)
        return lambda: Option(facts[name])


def get_context() -> NotebookContext:
    """Return the facts about this notebook."""
    return NotebookContext()


def set_notebook_path(path: str) -> None:
    """Say which notebook this is."""
    _notebook_path[:] = [path]


def ask(method: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Ask the workspace as this notebook's user, and return the answer.

    Raises:
        RefusedError: It refuses.
    """
    facts = _facts()
    address = f"{facts['url']}{path}"
    headers = {"Authorization": f"Bearer {facts['token']}", NOTEBOOK_HEADER: "1"}
    content = None
    if method == "GET":
        address += f"?{urllib.parse.urlencode(fields)}"
    else:
        content = json.dumps(fields).encode()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(address, content, headers, method=method)  # noqa: S310 - the workspace
    try:
        with direct.open(request, timeout=_SECONDS) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as refusal:
        with refusal:
            said = json.load(refusal)
    raise RefusedError(f"{said['error_code']}: {said['message']}")


def _facts() -> dict[str, Any]:
    return dict(json.loads(Path("/databricks", ACCESS_FILE).read_text(encoding="utf-8")))
