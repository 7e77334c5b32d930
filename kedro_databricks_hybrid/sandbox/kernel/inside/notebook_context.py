"""The context of a notebook: its workspace, login and cluster, and requests to that workspace.

`dbutils.notebook.entry_point` and `dbruntime`, by which clients log in, are made of this.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from ..access import ACCESS_FILE, NOTEBOOK_HEADER

_SECONDS = 30
_notebook_path: list[str] = []


class RefusedError(Exception):
    """The workspace refused a request; the message is the code and the message of the API."""


class NotebookContext:
    """The attributes of this notebook, with Databricks' names."""

    def __init__(self) -> None:
        login = _login()
        self.apiUrl: str = login["url"]
        self.apiToken: str = login["token"]
        self.browserHostName: str = urllib.parse.urlsplit(login["url"]).netloc
        self.workspaceUrl: str = self.browserHostName
        self.workspaceId: str = login["workspace_id"]
        self.userName: str = login["user"]
        self.clusterId: str | None = login["cluster_id"]
        self.notebookPath: str | None = _notebook_path[0] if _notebook_path else None
        self.isInNotebook = True
        self.isInCluster = True


class Option:
    """A value that may be missing, with the methods of Scala's Option."""

    def __init__(self, value: Any) -> None:  # noqa: ANN401 - any attribute
        self._value = value

    def get(self) -> Any:  # noqa: ANN401
        """Return the value; raise ValueError if it is missing."""
        if self._value is None:
            raise ValueError("None.get")
        return self._value

    def getOrElse(self, default: Any) -> Any:  # noqa: ANN401, N802 - Scala's name
        """Return the value, or the default if it is missing."""
        return default if self._value is None else self._value

    def isDefined(self) -> bool:  # noqa: N802 - Scala's name
        """Whether the value exists."""
        return self._value is not None


class EntryPoint:
    """`dbutils.notebook.entry_point`, by which older code reads the notebook's context."""

    def getDbutils(self) -> EntryPoint:  # noqa: N802 - Databricks' name
        """Return the object with the notebook's attributes."""
        return self

    def notebook(self) -> EntryPoint:
        """Return the object with the notebook's attributes."""
        return self

    def getContext(self) -> EntryPoint:  # noqa: N802 - Databricks' name
        """Return the object with the notebook's attributes."""
        return self

    def toJson(self) -> str:  # noqa: N802 - Databricks' name
        """Return the attributes as JSON, without the token."""
        attributes = vars(NotebookContext())
        del attributes["apiToken"]
        return json.dumps({"tags": attributes})

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a function that returns an Option
        attributes = vars(NotebookContext())
        if name not in attributes:
            raise AttributeError(name)
        return lambda: Option(attributes[name])


def get_context() -> NotebookContext:
    """Return the context of this notebook."""
    return NotebookContext()


def set_notebook_path(path: str) -> None:
    """Set the path of this notebook."""
    _notebook_path[:] = [path]


def call_api(method: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Send a request to the workspace as this notebook's user, and return the answer.

    Raises:
        RefusedError: The workspace refused it.
    """
    login = _login()
    address = f"{login['url']}{path}"
    headers = {"Authorization": f"Bearer {login['token']}", NOTEBOOK_HEADER: "1"}
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
            error = json.load(refusal)
    raise RefusedError(f"{error['error_code']}: {error['message']}")


def _login() -> dict[str, Any]:
    return dict(json.loads(Path("/databricks", ACCESS_FILE).read_text(encoding="utf-8")))
