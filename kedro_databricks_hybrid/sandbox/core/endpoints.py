"""Routes whose handlers get the parameters of a request as a model, and return the JSON of the answer."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.bodies import AnyBody, body, query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    Answer: TypeAlias = dict[str, Any] | Response | None
    Handler: TypeAlias = Callable[[Request, AnyBody], Answer | Awaitable[Answer]]


def endpoint(method: str, path: str, model: type[AnyBody], handler: Handler[AnyBody]) -> Route:
    """Return a route to a handler, which runs in a thread unless it is a coroutine function.

    Args:
        method: GET or DELETE, whose parameters are in the query string, or a method with a JSON body.
        path: The path as in Starlette's routes; the parameters in it are fields of the model too.
        model: The model of the parameters.
        handler: Gets the request and its parameters. Returns a JSON object, None for an empty one, or a
            response.
    """

    async def answer(request: Request) -> Response:
        given = query(request, model) if method in {"GET", "DELETE"} else await body(request, model)
        if inspect.iscoroutinefunction(handler):
            found = await handler(request, given)
        else:
            found = await run_in_threadpool(handler, request, given)
        return found if isinstance(found, Response) else JSONResponse(found or {})

    return Route(path, answer, methods=[method])
