"""Puts what the package says of itself into the pages, wherever one has a comment `<!-- made: ... -->`."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import reference

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = re.compile(r"^<!-- made: ([a-z ]+) -->$", re.MULTILINE)
_LOG = logging.getLogger("mkdocs.hooks.pages")
_MAKERS: dict[str, Callable[[], str]] = {
    "commands": reference.commands,
    "options": reference.options,
    "settings": reference.settings,
    "resolvers": reference.resolvers,
    "endpoints": reference.endpoints,
    "exit statuses": reference.exit_statuses,
    "versions": reference.versions,
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return a page with its marks filled; a mark that nothing answers to is a warning, so an error."""

    def made(mark: re.Match[str]) -> str:
        if mark[1] not in _MAKERS:
            _LOG.warning("nothing makes %r", mark[0])
            return ""
        return _MAKERS[mark[1]]()

    return _MARK.sub(made, markdown)
