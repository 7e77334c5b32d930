"""The sandbox's own route to its faults, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.answers import missing
from kedro_databricks_hybrid.sandbox.fields import body, query

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.faults import Faults

PATH = "/sandbox/faults"


def routes(faults: Faults) -> list[Route]:
    """Return the routes."""

    async def list_all(request: Request) -> Response:
        del request
        return JSONResponse({"faults": [fault.describe() for fault in faults.rules]})

    async def add(request: Request) -> Response:
        values = (await body(request)).without(set())
        return JSONResponse(faults.add(values.pop("effect", ""), **values).describe())

    async def clear(request: Request) -> Response:
        fields = query(request)
        number = fields.number("number") if fields.has("number") else None
        if number is not None and number not in {fault.number for fault in faults.rules}:
            raise missing(f"There is no fault {number}.")
        faults.clear(number)
        return JSONResponse({})

    return [
        Route(PATH, list_all, methods=["GET"]),
        Route(PATH, add, methods=["POST"]),
        Route(PATH, clear, methods=["DELETE"]),
    ]
