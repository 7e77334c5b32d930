"""`python -m kedro_databricks_hybrid ...` is `kedro databricks ...` with Kedro's log on stderr.

Kedro logs which logging configuration it uses while it is imported, before it loads any plugin.
"""

from __future__ import annotations

import sys
from pathlib import Path

import rich


def main() -> None:
    """Run a command of this plugin with the arguments of the process."""
    rich.reconfigure(stderr=True)  # before Kedro is imported
    from kedro.framework.cli import load_entry_points
    from kedro.framework.cli.cli import KedroCLI
    from kedro.utils import find_kedro_project

    for initialize in load_entry_points("init"):
        initialize()
    here = Path.cwd()
    KedroCLI(find_kedro_project(here) or here)(["databricks", *sys.argv[1:]], prog_name="kedro")


if __name__ == "__main__":
    main()
