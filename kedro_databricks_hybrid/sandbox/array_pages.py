"""Long arrays in the answers of API 2.2: a page holds some of each, and a token leads to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.fields import page_offset, query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

PAGE = 100
"""How many entries of an array one answer holds."""


def paged(
    request: Request, answer: dict[str, Any], holder: dict[str, Any], names: Iterable[str]
) -> dict[str, Any]:
    """Return an answer with one page of each array; API 2.1 knows no pages and shows all.

    Args:
        request: The request, which may name a page.
        answer: The answer as a whole; gets the next page's token.
        holder: The part of it that holds the arrays; is changed.
        names: The arrays' names.
    """
    if not request.url.path.startswith("/api/2.2/"):
        return answer
    start = page_offset(query(request))
    has_more = False
    for name in names:
        if isinstance(holder.get(name), list):
            has_more = has_more or len(holder[name]) > start + PAGE
            holder[name] = holder[name][start : start + PAGE]
    if has_more:
        answer |= {"next_page_token": str(start + PAGE), "has_more": True}
    return answer
