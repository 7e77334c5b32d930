"""Routes to handlers whose parameters are those of the request.

A handler gets by name what its function declares: `request`, `user` (who made the request), `given` (all
parameters, unchecked), and single parameters, checked by their annotations, see `bodies`. It runs in a thread
unless it is a coroutine function, and returns a JSON object, None for an empty one, or a response.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.bodies import Body, body, model_of, parse, query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

Answer: TypeAlias = dict[str, Any] | Response | None
Handler: TypeAlias = Callable[..., Answer | Awaitable[Answer]]
_SPECIAL = ("request", "user", "given")


def endpoints(table: Mapping[str, Handler], *bases: str) -> list[Route]:
    """Return the routes of a table such as `{"GET /list": list_all}` below each base path."""
    return [
        endpoint(method, base + path, handler)
        for base in bases
        for (method, _, path), handler in ((one.partition(" "), handler) for one, handler in table.items())
    ]


def endpoint(
    method: str,
    path: str,
    handler: Handler,
    read: Callable[[Request], Awaitable[dict[str, Any]]] | None = None,
) -> Route:
    """Return a route to a handler.

    Args:
        method: The HTTP method.
        path: The path as in Starlette's routes; the parameters in it are parameters of the handler too.
        handler: See the module.
        read: Returns the parameters of a request; by default POST and PATCH have a JSON body, others a query.
    """
    read = read or (body if method in {"POST", "PATCH"} else query)

    @cache  # when the first request needs it
    def wanted() -> tuple[type[Body], list[str]]:
        special = [name for name in _SPECIAL if name in inspect.signature(handler).parameters]
        return model_of(handler, *_SPECIAL), special

    async def answer(request: Request) -> Response:
        given = await read(request)
        known = {"request": request, "user": getattr(request.state, "user", None), "given": given}
        model, special = wanted()
        arguments = vars(parse(model, given)) | {name: known[name] for name in special}
        if inspect.iscoroutinefunction(handler):
            found = await handler(**arguments)
        else:
            found = await run_in_threadpool(handler, **arguments)
        return found if isinstance(found, Response) else JSONResponse(found or {})

    return Route(path, answer, methods=[method])
