"""Every command once, on a sandbox: what each combination of versions in noxfile.py must pass.

python tests/smoke.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROFILE = "--profile=sandbox"
ENV = "--env=databricks"
_BEFORE = ("--help", "sandbox --help", "sandbox start", "sandbox status --json")
_COMMANDS = (
    f"init {PROFILE} --dry-run",
    f"push {PROFILE} --dry-run",
    f"push {PROFILE}",
    f"status {PROFILE}",
    f"data ls {PROFILE}",
    f"catalog {ENV} --json",
    f"run {PROFILE} --params=n_neighbors=3",
    f"runs {PROFILE}",
    f"logs {PROFILE}",
    f"attach {PROFILE}",
    f"pull --data {PROFILE}",
    f"data pull {PROFILE} --dry-run",
    f"doctor {PROFILE} --json",
    f"notebook {PROFILE}",
)


def main() -> int:
    """Make the starter, run every command in it, and end the sandbox; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as scratch:
        shell = _Shell(Path(scratch))
        shell.must("kedro new --starter=pyspark-iris --name=iris")
        shell.folder = Path(scratch, "iris")
        for command in ("init -q -b main", "add .", "commit -q -m First"):
            shell.must(f"git {command}")
        shell.must(f"git init -q --bare {scratch}/iris.git")
        shell.must(f"git remote add origin {scratch}/iris.git")
        shell.must("kedro run")
        try:
            for command in (*_BEFORE, *_COMMANDS):
                shell.must(f"kedro databricks {command}")
        finally:
            shell.must("kedro databricks sandbox stop")
    return 0


class _Shell:
    """A folder and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours = ("DATABRICKS_", "KEDRO_")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            **{f"GIT_{role}_NAME": "Smoke" for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": "smoke@example.com" for role in ("AUTHOR", "COMMITTER")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "KEDRO_DATABRICKS_SANDBOX_HOME": str(folder / "sandbox"),
            "KEDRO_DATABRICKS_STATE": str(folder / "state"),
            "DO_NOT_TRACK": "1",
        }

    def must(self, command: str) -> None:
        """Run a command; end everything where it fails."""
        done = subprocess.run(
            command.split(),
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        sys.stdout.write(f"{'ok' if done.returncode == 0 else 'FAILED'}  {command}\n")
        sys.stdout.flush()
        if done.returncode:
            sys.stdout.write(f"{done.stdout}\n{done.stderr}\n")
            raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(main())
