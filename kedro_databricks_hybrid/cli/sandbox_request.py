"""Asking the sandbox what is no part of Databricks' API: its faults and its switches."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from kedro_databricks_hybrid import sandbox_process
from kedro_databricks_hybrid.errors import SandboxError

_SECONDS = 30


def send(method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Send one request to the sandbox that runs and return the answer's JSON.

    Raises:
        SandboxError: No sandbox runs, or it refuses.
    """
    running = sandbox_process.require_running()
    address = f"{running.host}{path}"
    content = json.dumps(body).encode() if body is not None else None
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"}
    asked = urllib.request.Request(address, content, headers, method=method)  # noqa: S310 - our own host
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(asked, timeout=_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            said = json.load(refusal)
        raise SandboxError(str(said["message"]), hint="`--help` names the options.") from refusal
