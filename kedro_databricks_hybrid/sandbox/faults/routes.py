"""The routes that control the sandbox: faults, and switches of the workspace.

Not part of Databricks' API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from kedro_databricks_hybrid.sandbox.core.bodies import Body, Flag, Integer, parse
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import invalid, missing
from kedro_databricks_hybrid.sandbox.core.workspace_kinds import KINDS, UPLOADS

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.faults.rules import Faults
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

FAULTS_PATH = "/sandbox/faults"
SWITCHES_PATH = "/sandbox/switches"


class _Switches(Body):
    """The switches, in the order in which they are set: the kind of workspace also sets others."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))

    like: str | None = None
    public_dbfs_root: Flag | None = None
    task_environments: Flag | None = None
    uploads: str | None = None


def routes(faults: Faults) -> list[Route]:
    """Return the routes."""

    async def list_all() -> dict[str, Any]:
        return {"faults": [fault.describe() for fault in faults.rules]}

    async def add(given: dict[str, Any]) -> dict[str, Any]:
        return faults.add(**{"effect": "", **given}).describe()

    async def clear(number: Integer | None = None) -> None:
        if number is not None and number not in {fault.number for fault in faults.rules}:
            raise missing(f"Fault {number} does not exist.")
        faults.clear(number)

    return endpoints({"GET ": list_all, "POST ": add, "DELETE ": clear}, FAULTS_PATH)


def switch_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    async def show() -> dict[str, Any]:
        return {name.replace("_", "-"): getattr(sandbox, name) for name in _Switches.model_fields}

    async def change(given: dict[str, Any]) -> dict[str, Any]:
        asked = parse(_Switches, given)
        if asked.uploads not in {None, *UPLOADS}:
            raise invalid(f"uploads must be one of: {', '.join(UPLOADS)}.")
        if asked.like not in {None, *KINDS}:
            raise invalid(f"like must be one of: {', '.join(KINDS)}.")
        if asked.like is not None and KINDS[asked.like].access_mode is None:
            for cluster in sandbox.clusters.all():
                await sandbox.clusters.terminate(cluster.cluster_id)
        for name, value in asked:
            if value is not None:
                setattr(sandbox, name, value)
        return await show()

    return endpoints({"GET ": show, "POST ": change}, SWITCHES_PATH)
