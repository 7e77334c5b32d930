"""Runs the project's pipelines with `python -m {{ cookiecutter.python_package }}`."""

import sys
from pathlib import Path

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main() -> None:
    """Run the pipelines as `kedro run` would, with the same options."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    run = find_run_command(package_name)
    # In an interactive session the process must outlive the run.
    run(standalone_mode=not hasattr(sys, "ps1"))


if __name__ == "__main__":
    main()
