"""End walks through folders of a workspace where a link leads back to a folder above.

A listing does not tell a link from a folder, so such a walk would never end. But behind the link the same
names are listed again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.git.unsafe_names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.errors import HybridError

_REPEATS = 3
"""How often the same names are listed on one path before it counts as a loop."""


class LinkLoops:
    """Notices link loops in one walk, in which folders are entered before those below them.

    Args:
        root: The folder in which the walk starts, for messages.
        error: The class of the error to raise.
    """

    def __init__(self, root: str, error: type[HybridError]) -> None:
        self.root = root
        self._error = error
        self._trails: dict[PurePosixPath, tuple[tuple[PurePosixPath, frozenset[str]], ...]] = {}

    def enter(self, folder: PurePosixPath, names: Iterable[str]) -> None:
        """Note what a folder lists; needed only for folders with folders in them.

        Args:
            folder: Its path relative to the root.
            names: The names in it.

        Raises:
            HybridError: The folder is behind a link to a folder above, which is named.
        """
        above = self._trails.get(folder.parent, ())
        listed = frozenset(names)
        same = [each for each, names_there in above if names_there == listed]
        if len(same) >= _REPEATS:
            raise self._error(
                f"{self.root}/{shown(same[1])} seems to be a link to a folder above it: "
                "the same files are listed below it again and again.",
                hint="Delete that link on Databricks.",
            )
        self._trails[folder] = (*above, (folder, listed))
