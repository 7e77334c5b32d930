"""Fill the comments `<!-- made: ... -->` of a page with tables that are generated from the package."""

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
_GENERATORS: dict[str, Callable[[], str]] = {
    "commands": reference.commands,
    "options": reference.options,
    "settings": reference.settings,
    "resolvers": reference.resolvers,
    "endpoints": reference.endpoints,
    "guesses": reference.guesses,
    "exit statuses": reference.exit_statuses,
    "versions": reference.versions,
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return a page with its marks filled; an unknown mark is a warning, which fails the build."""

    def generated(mark: re.Match[str]) -> str:
        if mark[1] not in _GENERATORS:
            _LOG.warning("no generator for %r", mark[0])
            return ""
        return _GENERATORS[mark[1]]()

    return _MARK.sub(generated, markdown)
