"""What `kedro databricks sandbox fault` asks of the sandbox, over the sandbox's own route."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from kedro_databricks_hybrid import sandbox_process
from kedro_databricks_hybrid.errors import SandboxError

EFFECTS = (
    *("status", "delay", "reset-before", "reset-after", "truncate", "stale"),
    *("terminate-cluster", "evict-contexts", "expire-token"),
)
_ROUTE = "/sandbox/faults"
_SECONDS = 30


def request(method: str, rule: dict[str, Any] | None = None, number: int | None = None) -> Any:  # noqa: ANN401
    """Send one request about faults and return the answer's JSON.

    Raises:
        SandboxError: No sandbox runs, or it refuses.
    """
    running = sandbox_process.require_running()
    address = f"{running.host}{_ROUTE}" + (f"?number={number}" if number is not None else "")
    content = json.dumps(rule).encode() if rule is not None else None
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
