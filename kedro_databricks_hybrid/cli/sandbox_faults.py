"""What `kedro databricks sandbox fault` asks of the sandbox, over the sandbox's own route."""

from __future__ import annotations

from typing import Any

from kedro_databricks_hybrid.cli.sandbox_request import send

EFFECTS = (
    *("status", "delay", "reset-before", "reset-after", "truncate", "stale"),
    *("terminate-cluster", "evict-contexts", "expire-token"),
)
_ROUTE = "/sandbox/faults"


def request(method: str, rule: dict[str, Any] | None = None, number: int | None = None) -> Any:  # noqa: ANN401
    """Send one request about faults and return the answer's JSON.

    Raises:
        SandboxError: No sandbox runs, or it refuses.
    """
    return send(method, _ROUTE + (f"?number={number}" if number is not None else ""), rule)
