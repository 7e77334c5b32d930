"""The files that a project needs for Databricks, written where they are missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOADER_LINES = (
    "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader; "
    "CONFIG_LOADER_CLASS = DatabricksConfigLoader"
)
"""What settings.py must hold so that one catalog serves both worlds."""

_BASE = """\
# Where this project lies on Databricks. Each line shows a default; uncomment it to change it.
# {user} stands for your Databricks user name, {project} for this project's name, {branch} for the Git branch.
# code:
#   folder: /Workspace/Repos/{user}/{project}   # the Git folder
#   remote: origin                              # the Git remote that it is cloned from
#   provider: gitHub                            # only for hosts that do not tell, such as git.example.com
# compute:
#   cluster: my-cluster                         # name or id; --cluster overrides it
"""

_DATABRICKS = """\
# The env `databricks`: paths of the catalog below data/ lead here.
data:
  root: dbfs:/root/projects/{project}/data   # or /Volumes/<catalog>/<schema>/<volume>/...
"""


def write_missing(project_path: Path) -> list[Path]:
    """Write conf/base/databricks.yml and conf/databricks/databricks.yml unless they are there.

    Returns:
        The paths that were written, relative to the project.
    """
    wanted = {"conf/base/databricks.yml": _BASE, "conf/databricks/databricks.yml": _DATABRICKS}
    written = []
    for name, text in wanted.items():
        path = project_path / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path.relative_to(project_path))
    return written


REQUIREMENTS = ("requirements.txt", "src/requirements.txt")
"""Where a Kedro project keeps its requirements; the first that is there counts."""


def required_names(requirements: str) -> set[str]:
    """Return the names of the distributions that a requirements file asks for, in their normal form."""
    found = re.findall(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirements, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found}


def uses_our_loader() -> bool:
    """Tell whether the project that Kedro has loaded reads its configuration through our loader."""
    from kedro.framework.project import settings

    loader: type = settings.CONFIG_LOADER_CLASS
    return any(base.__name__ == "DatabricksConfigLoader" for base in loader.__mro__)
