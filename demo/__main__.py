"""`make demo`: run the guide on a workspace with clusters and DBFS, then on one like Free Edition.

Both run on the sandbox, in a temporary folder. Every command is printed before it runs. `LIKE=guide` or
`LIKE=free-edition` runs one of them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo import guide_edit

PROFILE = "--profile=sandbox"
PROJECT = "iris-databricks"
LIKE = ("guide", "free-edition")


class Demo:
    """The steps on one kind of workspace, in a temporary folder.

    Args:
        scratch: The folder for the project, its Git remote and the sandbox's files.
        like: The kind of workspace, as for `sandbox start --like`.
    """

    def __init__(self, scratch: Path, like: str) -> None:
        self.scratch = scratch
        self.like = like
        self.project = scratch / PROJECT
        self.remote = scratch / "remote.git"
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "KEDRO_DATABRICKS_SANDBOX_HOME": str(scratch / "sandbox"),
            "KEDRO_DATABRICKS_STATE": str(scratch / "state"),
            "DO_NOT_TRACK": "1",
            "GIT_AUTHOR_NAME": "Demo",
            "GIT_AUTHOR_EMAIL": "demo@example.com",
            "GIT_COMMITTER_NAME": "Demo",
            "GIT_COMMITTER_EMAIL": "demo@example.com",
        }

    def start(self) -> None:
        """Start the sandbox."""
        heading(f"Start a local workspace like {self.like}")
        self.run(f"kedro databricks sandbox start --like={self.like}")

    def stop(self) -> None:
        """Stop the sandbox."""
        self.run("kedro databricks sandbox stop")

    def create(self) -> None:
        """Create the project, its Git repository, and a bare repository as its remote."""
        self.scratch.mkdir(exist_ok=True)
        heading("Create a project and put it under version control")
        self.run(f"kedro new --starter=pyspark-iris --name={PROJECT}", folder=self.scratch)
        self.run("git init --quiet --initial-branch=main")
        self.run(f"git init --quiet --bare --initial-branch=main {self.remote}")
        self.run(f"git remote add origin {self.remote}")
        self.run("git add .")
        self.run('git commit --quiet -m "Initial commit"')
        self.run("git push --quiet -u origin main")

    def first_run(self) -> str:
        """Push code and data and run the pipeline; return its output."""
        heading("Push it to Databricks and run it there")
        self.run(f"kedro databricks init --yes {PROFILE}")
        self.run("git add -A")
        self.run('git commit --quiet -m "Connect to Databricks"')
        self.run(f"kedro databricks push {PROFILE}")
        return self.run(f"kedro databricks run --env=databricks {PROFILE}")

    def change(self) -> str:
        """Edit the classifier on a branch, push the branch and run it; return the output of the run."""
        heading("Change the classifier on a branch and run it again")
        self.run("git switch --quiet -c feat/modified-classifier")
        say("$ # edit src/iris_databricks/nodes.py: three neighbours instead of one")
        guide_edit.apply(self.project / "src" / "iris_databricks" / "nodes.py")
        self.run("git diff --stat")
        self.run("git add -u")
        self.run(
            'git commit --quiet -m "Modify 1-nearest neighbour classifier to 3-nearest-neighbour classifier"'
        )
        self.run(f"kedro databricks push {PROFILE}")
        self.run(f"kedro databricks pull {PROFILE}")
        return self.run(f"kedro databricks run --env=databricks {PROFILE}")

    def merge(self) -> None:
        """Merge the branch, and update main on the remote and on Databricks."""
        heading("Merge")
        self.run("git switch --quiet main")
        self.run("git merge --quiet feat/modified-classifier")
        self.run(f"kedro databricks push {PROFILE}")
        self.run(f"kedro databricks pull {PROFILE}")

    def run(self, command: str, folder: Path | None = None) -> str:
        """Print a command, run it, print its output as it arrives, and return it.

        Raises:
            SystemExit: The command failed.
        """
        say(f"$ {command}")
        output = []
        with subprocess.Popen(
            shlex.split(command),
            cwd=folder or self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            for line in process.stdout or []:
                sys.stdout.write(f"  {line}")
                sys.stdout.flush()
                output.append(line)
        if process.returncode != 0:
            raise SystemExit(f"The demo stopped: `{command}` ended with exit status {process.returncode}.")
        return "".join(output)


def heading(title: str) -> None:
    """Print the title of a part of the guide."""
    say(f"\n=== {title} ===")


def say(line: str) -> None:
    """Print a line and flush it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def expect(output: str, words: str) -> None:
    """Check that a run printed what the guide says.

    Raises:
        SystemExit: It did not.
    """
    if words not in output:
        raise SystemExit(f"The demo stopped: the run did not print {words!r}.")


def main() -> None:
    """Run the steps on each kind of workspace, then print the first project and the next commands."""
    parser = argparse.ArgumentParser(description="Kedro's hybrid Databricks workflow on a local sandbox.")
    parser.add_argument("--folder", type=Path, help="an empty or new folder; a temporary one by default")
    parser.add_argument("--like", choices=LIKE, help="the kind of workspace; all of them by default")
    asked = parser.parse_args()
    folder: Path | None = asked.folder
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    scratch = (folder or Path(tempfile.mkdtemp(prefix="kedro-databricks-demo-"))).resolve()
    demos = [Demo(scratch / like, like) for like in LIKE if asked.like in {None, like}]
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the sandbox is stopped on SIGTERM, too
    for demo in demos:
        demo.create()
        demo.start()
        try:
            expect(demo.first_run(), "Model has accuracy of 0.960 on test data.")
            expect(demo.change(), "Model has accuracy of 1.000 on test data.")
            demo.merge()
        finally:
            demo.stop()
    heading(f"Done in {time.monotonic() - began:.0f} s")
    first = demos[0]
    say(f"The project is in {first.project}. To continue with it:\n")
    say(f"  cd {first.project}")
    say(f"  source {Path(sys.executable).parent / 'activate'}")
    for variable in ("KEDRO_DATABRICKS_SANDBOX_HOME", "KEDRO_DATABRICKS_STATE"):
        say(f"  export {variable}={first.environment[variable]}")
    say("  kedro databricks sandbox start")
    say(f"  kedro databricks run {PROFILE}\n")


if __name__ == "__main__":
    main()
