"""Pages of a list: which entries one answer holds, and the token that asks for the next ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kedro_databricks_hybrid.sandbox.core.bodies import Body
from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.fields import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.fields import Fields

ARRAY_PAGE = 100
"""How many entries of an array inside an object one answer holds."""

_MAX_TOKEN_DIGITS = 12

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Page:
    """The entries from `start` on, at most `size` of them."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """The position after the last entry."""
        return self.start + self.size

    def of(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries on this page."""
        return list(entries[self.start : self.end])

    def next(self, total: int) -> dict[str, str]:
        """Return the field that names the next page of `total` entries, none after the last page."""
        return {"next_page_token": str(self.end)} if total > self.end else {}


class Paged(Body):
    """The parameters of a list whose pages are named by tokens; the tokens are positions."""

    page_token: str = ""

    def page(self, size: int) -> Page:
        """Return the page of at most `size` entries that the request asks for.

        Raises:
            ApiError: 400 for a token that no answer gave.
        """
        position = self.page_token or "0"
        if not (position.isascii() and position.isdigit() and len(position) < _MAX_TOKEN_DIGITS):
            raise invalid("Invalid page token")
        return Page(int(position), size)


def page(fields: Fields, size: int, *, cursor: str = "page_token", offset: str = "") -> Page:
    """Return the page that a request asks for.

    Args:
        fields: The request's parameters.
        size: How many entries the page holds.
        cursor: The parameter with the token of the answer before; these tokens are positions.
        offset: The parameter with the position itself, in APIs that have one.

    Raises:
        ApiError: 400 for a token that no answer gave.
    """
    position = fields.text(cursor, "") or "0"
    if not (position.isascii() and position.isdigit() and len(position) < _MAX_TOKEN_DIGITS):
        msg = "Invalid page token"
        raise invalid(msg)
    start = max(fields.number(offset, 0), 0) if offset else 0
    return Page(start or int(position), size)


def limit(fields: Fields, default: int, most: int) -> int:
    """Return the parameter `limit`, where 0 means the default; refuse what is not from 1 to `most`."""
    size = fields.number("limit", default) or default
    if not 0 < size <= most:
        msg = f"limit must be between 1 and {most}"
        raise invalid(msg)
    return size


def paged_arrays(
    request: Request, answer: dict[str, Any], holder: dict[str, Any], names: Iterable[str]
) -> dict[str, Any]:
    """Return an answer with one page of each array; API 2.1 has no pages and shows all entries.

    Args:
        request: The request, which may name a page.
        answer: The whole answer; gets the token of the next page.
        holder: The part of the answer that holds the arrays; is changed.
        names: The arrays' names.
    """
    if not request.url.path.startswith("/api/2.2/"):
        return answer
    part = page(query(request), ARRAY_PAGE)
    longest = 0
    for name in names:
        if isinstance(holder.get(name), list):
            longest = max(longest, len(holder[name]))
            holder[name] = part.of(holder[name])
    if following := part.next(longest):
        answer |= {**following, "has_more": True}
    return answer
