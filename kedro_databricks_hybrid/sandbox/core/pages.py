"""Pages of a list: which entries one answer holds, and the token that asks for the next ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BeforeValidator

from kedro_databricks_hybrid.sandbox.core.bodies import Integer
from kedro_databricks_hybrid.sandbox.core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request

ARRAY_PAGE = 100
"""How many entries of an array inside an object one answer holds."""

_TOKEN = re.compile("[0-9]{0,11}")

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

    def answer(
        self, name: str, entries: Sequence[Entry], describe: Callable[[Entry], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the entries on this page under a name, and whether more follow."""
        shown = [describe(one) for one in self.of(entries)]
        following = self.next(len(entries))
        return {**({name: shown} if shown else {}), "has_more": bool(following), **following}


def _position(token: object) -> object:
    if isinstance(token, str) and not _TOKEN.fullmatch(token):
        raise invalid("Invalid page token")
    return 0 if token == "" else token


Token = Annotated[Integer, BeforeValidator(_position)]
"""The token of a page, which is the position of its first entry; other tokens are refused."""


def limited(limit: int, default: int, most: int) -> int:
    """Return the parameter `limit`, where 0 means the default; refuse what is not from 1 to `most`."""
    size = limit or default
    if not 0 < size <= most:
        raise invalid(f"limit must be between 1 and {most}")
    return size


def paged_arrays(
    request: Request, token: int, answer: dict[str, Any], holder: dict[str, Any], names: Iterable[str]
) -> dict[str, Any]:
    """Return an answer with one page of each array; API 2.1 has no pages and shows all entries.

    Args:
        request: The request.
        token: The token of the page.
        answer: The whole answer; gets the token of the next page.
        holder: The part of the answer that holds the arrays; is changed.
        names: The arrays' names.
    """
    if not request.url.path.startswith("/api/2.2/"):
        return answer
    part = Page(token, ARRAY_PAGE)
    longest = 0
    for name in names:
        if isinstance(holder.get(name), list):
            longest = max(longest, len(holder[name]))
            holder[name] = part.of(holder[name])
    if following := part.next(longest):
        answer |= {**following, "has_more": True}
    return answer
