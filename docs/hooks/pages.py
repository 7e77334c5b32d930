"""Fill the comments `<!-- made: ... -->` of a page with tables that are generated from the package.

Also give the copy buttons the commands alone, and the search a name for screen readers.
"""

from __future__ import annotations

import logging
import re
import sys
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import messages
import reference

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = re.compile(r"^<!-- made: ([a-z ]+) -->$", re.MULTILINE)
_CONSOLE = re.compile(r"<pre>(?=<span></span><code><span class=\"gp\">)(.*?)</pre>", re.DOTALL)
_SEARCH = 'data-md-component="search" role="dialog"'
_LOG = logging.getLogger("mkdocs.hooks.pages")
_GENERATORS: dict[str, Callable[[], str]] = {
    "commands": reference.commands,
    "options": reference.options,
    "common options": reference.common_options,
    "run options": reference.run_options,
    "settings": reference.settings,
    "resolvers": reference.resolvers,
    "endpoints": reference.endpoints,
    "guesses": reference.guesses,
    "exit statuses": reference.exit_statuses,
    "versions": reference.versions,
    "messages": messages.listing,
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return a page with its marks filled; an unknown mark is a warning, which fails the build."""

    def generated(mark: re.Match[str]) -> str:
        if mark[1] not in _GENERATORS:
            _LOG.warning("no generator for %r", mark[0])
            return ""
        return _GENERATORS[mark[1]]()

    return _MARK.sub(generated, markdown)


def on_page_content(html: str, **_: object) -> str:
    """Return a page whose copy buttons copy what is typed, without `$` and without output."""

    def with_copy(block: re.Match[str]) -> str:
        lines = unescape(re.sub(r"<[^>]*>", "", block[1])).split("\n")
        typed = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
        return block[0].replace("<pre>", f'<pre data-copy="{escape(typed)}">', 1)

    return _CONSOLE.sub(with_copy, html)


def on_post_page(output: str, **_: object) -> str:
    """Return a page whose search dialog has a name; a theme without that dialog is a warning."""
    if _SEARCH not in output:
        _LOG.warning("the theme has no %s", _SEARCH)
    return output.replace(_SEARCH, f'{_SEARCH} aria-label="Search"')
