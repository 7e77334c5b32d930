"""The cluster's paths of the project as the paths that an editor here can open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.run.log import Record

_TEXTS = ("path", "traceback")


@dataclass(frozen=True)
class LocalPaths:
    """The same project in two places.

    Args:
        remote: Its folder as the cluster sees it.
        local: Its folder here.
    """

    remote: PurePosixPath
    local: Path

    def in_text(self, text: str) -> str:
        """Replace the cluster's paths of files that exist here, too."""
        return re.sub(rf"{re.escape(str(self.remote))}/([^\s\"':,]+)", self._local, text)

    def in_record(self, record: Record) -> Record:
        """Replace them where a record of the run log holds paths."""
        found: dict[str, Any] = {key: self.in_text(record[key]) for key in _TEXTS if key in record}
        return {**record, **found}

    def _local(self, match: re.Match[str]) -> str:
        path = self.local / match[1]
        return str(path) if path.exists() else match[0]
